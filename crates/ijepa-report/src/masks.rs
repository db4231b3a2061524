//! Masks of a recipe as inline SVG.

use std::fmt::Write;

use ijepa_masking::{MaskGroup, MaskReport, MaskRng, PatchIndices};
use ijepa_train::Recipe;

/// Images whose masks are shown.
const IMAGES: usize = 6;
/// Images that the maps of frequencies are drawn from, in whole groups: the contexts of a group are
/// cut to its shortest, so a part of one would be masked otherwise.
const MAP_IMAGES: usize = 2048;
/// Patches of an image, counted in each of its masks, beyond which nothing is drawn.
const MOST_PATCHES: usize = 1 << 16;
/// The same of a whole group.
const MOST_OF_GROUP: usize = 1 << 25;

/// Masks of the run's first step and how often patches are in them; `None` if the recipe breaks
/// its rules or has too many patches to be shown.
pub(crate) fn pictures(recipe: &Recipe) -> Option<String> {
    recipe.validate().ok()?;
    let sampler = recipe.mask_sampler().ok()?;
    let masks = recipe
        .mask
        .num_targets
        .saturating_add(recipe.mask.num_contexts);
    let (size, seed) = (recipe.mask_group_size(), recipe.run.seed);
    let patches = sampler.grid().num_patches().saturating_mul(masks);
    if patches > MOST_PATCHES || patches.saturating_mul(size) > MOST_OF_GROUP {
        return None;
    }
    let groups = (MAP_IMAGES / size).max(1);
    let group = sampler.sample(size, &mut MaskRng::for_group(seed, 0, 0));
    let report = MaskReport::draw(sampler.as_ref(), size, groups, seed);
    let mut html = String::from("<div class=\"masks\">");
    for image in 0..size.min(IMAGES) {
        html += &one_image(&group, image);
    }
    html += "</div>\n<ul class=\"key\"><li><i class=\"context\"></i>context, what the encoder sees</li>";
    for target in 0..group.targets.len() {
        let _ = write!(
            html,
            "<li><i class=\"t{}\"></i>target {}</li>",
            target % 6,
            target + 1
        );
    }
    let _ = write!(
        html,
        "<li><i class=\"unseen\"></i>unused</li></ul>\n<div class=\"maps\">{}{}</div>\n",
        frequencies("in the context", "context", &report.context_inclusion),
        frequencies("in a target", "t0", &report.target_inclusion),
    );
    let _ = writeln!(
        html,
        "<p class=\"note\">Contexts keep {:.1} patches on average ({} to {}), {:.0} % of the image; \
         targets {:.1}. Over {} images.</p>",
        report.context_size.mean,
        report.context_size.min,
        report.context_size.max,
        100.0 * report.context_ratio,
        report.target_size.mean,
        report.images,
    );
    Some(html)
}

/// The masks of one image on its grid; targets may cover each other.
fn one_image(group: &MaskGroup, image: usize) -> String {
    let (rows, cols) = (group.grid.rows(), group.grid.cols());
    let mut svg = format!(
        "<svg class=\"mask\" viewBox=\"0 0 {cols} {rows}\" role=\"img\" aria-label=\"Masks of image \
         {}: context of {} patches, {} targets of {}\">\
         <rect class=\"unseen\" width=\"{cols}\" height=\"{rows}\"/>",
        image + 1,
        group.contexts[0].kept(),
        group.targets.len(),
        group.targets[0].kept(),
    );
    for context in &group.contexts {
        svg += &cells(context, image, cols, "context");
    }
    for (number, target) in group.targets.iter().enumerate() {
        svg += &cells(target, image, cols, &format!("target t{}", number % 6));
    }
    svg + "</svg>"
}

fn cells(mask: &PatchIndices, image: usize, cols: usize, class: &str) -> String {
    let mut path = String::new();
    for &patch in mask.row(image) {
        let (x, y) = (patch as usize % cols, patch as usize / cols);
        let _ = write!(path, "M{x}.04 {y}.04h.92v.92h-.92z");
    }
    format!("<path class=\"{class}\" d=\"{path}\"/>")
}

/// A map of how often each patch is in a mask.
fn frequencies(what: &str, class: &str, map: &[Vec<f64>]) -> String {
    let (rows, cols) = (map.len(), map[0].len());
    let all = || map.iter().flatten().copied();
    let (low, high) = (all().fold(1.0, f64::min), all().fold(0.0, f64::max));
    let range = format!("{:.0} to {:.0} %", 100.0 * low, 100.0 * high);
    let mut svg = String::new();
    for (y, row) in map.iter().enumerate() {
        for (x, share) in row.iter().enumerate() {
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"1.01\" height=\"1.01\" \
                 opacity=\"{share:.2}\"/>"
            );
        }
    }
    format!(
        "<figure><svg class=\"mask\" viewBox=\"0 0 {cols} {rows}\" role=\"img\" aria-label=\"How often \
         a patch is {what}: {range}\"><rect class=\"unseen\" width=\"{cols}\" height=\"{rows}\"/>{svg}</svg>\
         <figcaption>How often a patch is {what}: {range}</figcaption></figure>"
    )
}
