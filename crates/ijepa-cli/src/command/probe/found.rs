//! What heads achieved, as text and JSON.

use std::{borrow::Cow, time::Duration};

use ijepa_data::Skipped;
use ijepa_eval::{DenseHead, DenseReport, DepthReport, DepthScores, ProbeReport};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::Resizing,
    features::{skipped_json, skipped_text},
    report::Report,
};

/// What was found, and on what.
pub(super) struct Found<R> {
    pub(super) report: R,
    pub(super) encoder: Cow<'static, str>,
    /// How training images were augmented, where a protocol says that.
    pub(super) augment: Option<&'static str>,
    /// Training and testing of the heads; with augmentation the features, too.
    pub(super) took: Duration,
    pub(super) skipped: Vec<Skipped>,
    pub(super) faults: Vec<String>,
    pub(super) resizing: Option<Resizing>,
}

impl<R: Serialize> Found<R> {
    /// With what all protocols have in common.
    fn finished(&self, protocol: &str, heads: &str) -> Report {
        let mut json = json!(self.report);
        json["encoder"] = json!(self.encoder);
        json["protocol"] = json!(protocol);
        if let Some(augment) = self.augment {
            json["augment"] = json!(augment);
        }
        json["probe_s"] = json!(self.took.as_secs_f64());
        json["skipped"] = skipped_json(&self.skipped);
        json["faults"] = json!(self.faults);
        if let Some(resizing) = &self.resizing {
            resizing.add_to(&mut json);
        }
        let read = self
            .resizing
            .map_or_else(String::new, |it| format!("{it}\n"));
        let skipped = skipped_text(&self.skipped);
        let text = format!(
            "{protocol} on {} features, {heads}{read}{skipped}",
            self.encoder
        );
        Report { text, json }
    }
}

impl Found<ProbeReport> {
    pub(super) fn of_classes(&self, protocol: &str) -> Report {
        let report = &self.report;
        let mut text = format!(
            "{} training and {} test images\n",
            report.train_images, report.test_images
        );
        for found in &report.heads {
            let head = json!(found.head);
            let rate = found.head.lr.map_or("-".to_owned(), |lr| lr.to_string());
            let word = |key: &str| head[key].as_str().unwrap_or("-").to_owned();
            text += &format!(
                "{:9} norm {:6} lr {rate:6} wd {:<8.3e} top-1 {:5.2} %  top-5 {:5.2} %{}\n",
                word("pool"),
                word("batch_norm"),
                found.head.weight_decay,
                found.top1,
                found.top5,
                diverged(found.loss)
            );
        }
        text += &format!(
            "best: top-1 {:.2} %, top-5 {:.2} %\n",
            report.top1, report.top5
        );
        self.finished(protocol, &text)
    }
}

impl Found<DenseReport> {
    pub(super) fn of_masks(&self, protocol: &str) -> Report {
        let report = &self.report;
        let mut text = format!(
            "{} training and {} test images, {} classes\n",
            report.train_images, report.test_images, report.classes
        );
        for found in &report.heads {
            text += &format!(
                "{} mIoU {:5.2} %  pixels {:5.2} %{}\n",
                rates(&found.head),
                found.miou,
                found.pixel_accuracy,
                diverged(found.loss)
            );
        }
        text += &format!(
            "best: mIoU {:.2} %, pixels {:.2} %\n",
            report.miou, report.pixel_accuracy
        );
        self.finished(protocol, &text)
    }
}

impl Found<DepthReport> {
    pub(super) fn of_depths(&self, protocol: &str) -> Report {
        let report = &self.report;
        let scores = |it: &DepthScores| {
            format!(
                "RMSE {:.3} m  AbsRel {:.4}  \u{3b4}1 {:5.2} %",
                it.rmse, it.abs_rel, it.delta1
            )
        };
        let mut text = format!(
            "{} training and {} test images, {:.2} m away on average\n",
            report.train_images, report.test_images, report.mean
        );
        for found in &report.heads {
            text += &format!(
                "{} {}{}\n",
                rates(&found.head),
                scores(&found.scores),
                diverged(found.loss)
            );
        }
        text += &format!("that mean everywhere: {}\n", scores(&report.floor));
        text += &format!("best: {}\n", scores(&report.scores));
        self.finished(protocol, &text)
    }
}

/// The rates of a head that learns about pixels.
fn rates(head: &DenseHead) -> String {
    format!("lr {:<6} wd {:<8.3e}", head.lr, head.weight_decay)
}

/// What a head without a loss has done.
fn diverged(loss: Option<f64>) -> &'static str {
    match loss {
        Some(_) => "",
        None => "  diverged",
    }
}
