//! Labels beside a bar: each as near to what it names as the others allow, in order, none over another.

/// Heights of labels that are at least `spacing` apart and not above `top`, as near as can be (in squares) to the wanted
/// ones, which are in order.
pub(crate) fn spread(wanted: &[f64], spacing: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    // Neighbours that would overlap become one block, which stands where its members on average want it.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for height in wanted {
        let mut block = (*height, 1);
        while let Some((start, count)) = blocks.last().copied()
            && start + spacing * count as f64 > block.0
        {
            blocks.pop();
            let shifted = block.0 - spacing * count as f64;
            let sum = start * count as f64 + shifted * block.1 as f64;
            block = (sum / (count + block.1) as f64, count + block.1);
        }
        blocks.push(block);
    }
    let mut heights: Vec<f64> = blocks
        .iter()
        .flat_map(|(start, count)| (0..*count).map(move |place| start + spacing * place as f64))
        .collect();
    let mut limit = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - spacing;
    }
    let mut limit = top;
    for height in &mut heights {
        *height = height.max(limit);
        limit = *height + spacing;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn labels_that_have_room_stand_where_they_want() {
        assert_eq!(spread(&[10.0, 40.0, 90.0], 12.0, (0.0, 100.0)), [10.0, 40.0, 90.0]);
    }

    #[test]
    fn labels_in_one_place_share_it_evenly_and_in_order() {
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, (0.0, 100.0)), [40.0, 50.0, 60.0]);
    }

    #[test]
    fn no_label_leaves_the_bar_while_there_is_room_nor_touches_another() {
        let heights = spread(&[0.0, 1.0, 2.0, 98.0, 99.0, 99.0], 10.0, (0.0, 100.0));
        assert!(heights[0] >= 0.0 && heights[5] <= 100.0, "{heights:?}");
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= 9.999), "{heights:?}");
    }

    #[test]
    fn too_many_labels_go_on_below() {
        let heights = spread(&[5.0; 20], 10.0, (0.0, 100.0));
        assert_eq!(heights[0], 0.0);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= 9.999));
    }
}
