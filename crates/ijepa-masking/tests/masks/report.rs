//! What a report says of masks that are known.

use ijepa_masking::{
    LengthStats, MaskGroup, MaskReport, PatchGrid, PatchIndices, RasterizedSampler,
};

#[test]
fn a_report_counts_first_contexts_and_any_targets() {
    let grid = PatchGrid::new(2, 3).unwrap();
    let group = |contexts: [Vec<u32>; 2], targets: [Vec<u32>; 2], relaxations| {
        let masks = |masks: [Vec<u32>; 2]| -> Vec<PatchIndices> {
            let images = 2;
            let mask = |mask: Vec<u32>| PatchIndices::new(mask.len() / images, mask);
            masks.into_iter().map(mask).collect()
        };
        MaskGroup {
            grid,
            contexts: masks(contexts),
            targets: masks(targets),
            relaxations,
        }
    };
    // Rows of two images, one after the other.
    let groups = [
        group([vec![0, 1], vec![5, 5]], [vec![2, 3], vec![2, 4]], 1),
        group(
            [vec![0, 1, 2, 0, 3, 4], vec![0, 1, 5, 1, 2, 5]],
            [vec![5, 5], vec![5, 4]],
            2,
        ),
    ];
    let stats = |mean, std, min, max| LengthStats {
        mean,
        std,
        min,
        max,
    };
    let expected = MaskReport {
        images: 4,
        context_size: stats(2.0, 1.0, 1, 3),
        context_ratio: 2.0 / 6.0,
        target_size: stats(1.0, 0.0, 1, 1),
        relaxations: 3,
        context_inclusion: vec![vec![0.75, 0.5, 0.25], vec![0.25, 0.25, 0.0]],
        target_inclusion: vec![vec![0.0, 0.0, 0.25], vec![0.25, 0.5, 0.5]],
    };
    assert_eq!(MaskReport::of(&groups), expected);
}

#[test]
fn a_report_reads_well() {
    let grid = PatchGrid::new(2, 2).unwrap();
    let report = MaskReport::draw(&RasterizedSampler::new(grid).unwrap(), 4, 1, 0);
    let text = report.to_string();
    assert!(text.starts_with(
        "images       4\ncontext      1.0 patches, std 0.0, 1 to 1\n  of image   25.0 %\n"
    ));
    assert!(text.contains("\nimages with the patch in any target, %\n"));
}
