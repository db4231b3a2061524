//! What a report says of masks that are known.

use ijepa_masking::{
    LengthStats, MaskGroup, MaskReport, MaskRng, MaskSampler, PatchGrid, PatchIndices,
    RasterizedSampler,
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
    let size = LengthStats {
        mean: 2.3,
        std: 0.5,
        min: 1,
        max: 3,
    };
    let report = MaskReport {
        images: 4,
        context_size: size,
        context_ratio: 0.574,
        target_size: size,
        relaxations: 7,
        context_inclusion: vec![vec![0.0, 0.25], vec![1.0, 0.5]],
        target_inclusion: vec![vec![1.0, 0.0], vec![0.25, 0.25]],
    };
    let expected = "\
images       4
context      2.3 patches, std 0.5, 1 to 3
  of image   57.4 %
target       2.3 patches, std 0.5, 1 to 3
relaxations  7

images with the patch in context, %
  0  25
100  50

images with the patch in any target, %
100   0
 25  25
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn drawn_groups_are_those_of_step_0() {
    let sampler = RasterizedSampler::new(PatchGrid::new(4, 4).unwrap()).unwrap();
    let group = |number| sampler.sample(4, &mut MaskRng::for_group(9, 0, number));
    let expected = MaskReport::of(&[group(0), group(1), group(2)]);
    assert_eq!(MaskReport::draw(&sampler, 4, 3, 9), expected);
}
