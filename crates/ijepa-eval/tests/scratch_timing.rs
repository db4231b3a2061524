//! x
#![allow(warnings, clippy::all)]
use burn::tensor::Device;
use ijepa_data::DataSpec;
use ijepa_eval::{ExtractConfig, KnnConfig, extract, knn, rank_report};
use ijepa_model::VisionTransformerConfig;

fn readme() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let config = VisionTransformerConfig::variant("vit_ti16")?.with_image_size([64, 64]);
    let encoder = config.init(&device); // or VisionTransformer::from_pretrained(path, &device)?
    let train = "scenes:kind=texture,n=500,seed=0".parse::<DataSpec>()?.open()?;
    let test = "scenes:kind=texture,n=100,seed=1".parse::<DataSpec>()?.open()?;

    let extraction = ExtractConfig::default();
    let train = extract(&encoder, train.as_ref(), &extraction, &device)?.features;
    let test = extract(&encoder, test.as_ref(), &extraction, &device)?.features;
    let report = knn(&train, &test, &KnnConfig::default(), &device)?;
    println!("top-1 with 20 neighbours: {:.1} %", report.k[&20].top1);
    println!("RankMe {:.1} of {}", rank_report(&train).rankme, train.dim());
    Ok(())
}

use std::time::Instant;
use ijepa_eval::*;
fn random(seed: u64, images: usize, dim: usize) -> Features {
    let mut s = seed;
    let values = (0..images*dim).map(|_| { s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); ((s >> 40) as f32) / (1u32<<23) as f32 - 0.9 }).collect();
    Features::new(dim, values, (0..images).map(|i| Some(i as u32 % 10)).collect()).unwrap()
}
#[test]
fn scratch() {
    let t = Instant::now(); readme().unwrap(); println!("readme {:?}", t.elapsed());
    let device = ijepa_testkit::device();
    for (tr, te, d) in [(20000, 2000, 64), (20000,2000,192), (20000, 2000, 768)] {
        let (train, test) = (random(1, tr, d), random(2, te, d));
        for _ in 0..2 { let t = Instant::now(); let r = knn(&train, &test, &KnnConfig::default(), &device).unwrap();
        println!("knn {te} vs {tr} dim {d}: {:?} top1 {}", t.elapsed(), r.k[&20].top1); }
    }
    for (n, d) in [(2000, 192), (5000, 384), (2000, 768), (25600, 192)] {
        let f = random(3, n, d);
        let t = Instant::now(); let r = rank_report(&f); println!("rank_report {n} x {d}: {:?} {r:?}", t.elapsed());
    }
}
