//! Recipes, tables of runs, lists and requests.

use std::error::Error;

use ijepa_eval::FinetuneRecipe;
use ijepa_train::{
    Recipe,
    recipe::{Settings, preset_names},
};

use crate::{Corpus, joined};

const METRICS: &str = "epoch,step,images,loss,lr,wd,ema,context_patches,target_patches,\
data_wait_ms,step_ms,images_per_s,grad_norm,feature_std\n\
0,0,32,1,1e-3,0.04,0.996,20,12,1.00,500.00,64.00,0.5,0.6\n\
0,10,352,0.5,1e-3,0.04,0.996,20,12,1.00,500.00,64.00,0.5,0.6\n";
const MONITORS: &str = "epoch,step,feature_std,patch_cosine,image_cosine,loss_ratio\n\
0,0,0.6,0.9,0.7,0.5\n0,10,0.6,0.9,0.7,0.5\n";
const EPOCHS: &str = "epoch,step,rankme,rankme_centered,knn,probe,lidar,feature_std\n\
0,0,9.5,9,25,,3,0.5\n1,200,12,11,31.5,40,4,0.5\n";
const ENVIRONMENT: &str = r#"{"device":"flex","data":"scenes","total_steps":5000,
"command":["ijepa","pretrain","--data","scenes"]}"#;
const KNN: &str = r#"{"top1":31.5,"k":20}"#;
const PROBE: &str = r#"{"protocol":"linear","top1":40.0,"heads":[{"lr":0.1,"top1":40.0}]}"#;
const BASELINES: &str = r#"{"random":{"knn":20.0},"pixels":{"knn":25.0},"features":{"knn":30.0}}"#;
const LOW_SHOT: &str = r#"{"protocol":"lowshot-logistic","top1":35.0}"#;
const EVALUATION: &str = r#"{"since_step":200}"#;
const DECODER: &str = "[decoder]\nsize = 32\n[run]\nseed = 0\n";

/// The first byte says what it is, see the target.
const LISTS: [(&str, &str); 7] = [
    ("list", "la.png\tcat\na.png\tdog\n"),
    ("labels", "fa.png 0\n"),
    (
        "clevr",
        r#"c{"scenes":[{"image_filename":"a.png","objects":[{"pixel_coords":[1,2,9.2]},
{"pixel_coords":[1,2,8.1]},{"pixel_coords":[1,2,11]}]}]}"#,
    ),
    (
        "inat",
        r#"i{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"image_id":1,
"category_id":0}],"categories":[{"id":0,"name":"moss"}]}"#,
    ),
    ("places", "pa/abbey/1.jpg 0\n"),
    ("cifar", "x"),
    ("empty", "l\n"),
];
const REQUESTS: [&str; 3] = [
    "rGET /metrics HTTP/1.0\r\n\r\n",
    "rPOST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "rPOST /embed HTTP/1.0\r\nContent-Type: multipart/form-data; boundary=e\r\n\
     Content-Length: 5\r\n\r\n--e--",
];

pub(crate) fn seeds(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    for name in preset_names() {
        corpus.add("recipe", name, Recipe::preset(name)?.to_toml())?;
    }
    for name in ["full", "lowshot-1pct"] {
        corpus.add(
            "recipe",
            name,
            <FinetuneRecipe as Settings>::preset(name)?.to_toml(),
        )?;
    }
    let recipe = Recipe::preset("scenes_vit_nano")?.to_toml();
    let fine = <FinetuneRecipe as Settings>::preset("full")?.to_toml();
    let tables = [
        ENVIRONMENT,
        METRICS,
        MONITORS,
        EPOCHS,
        BASELINES,
        KNN,
        PROBE,
        LOW_SHOT,
        EVALUATION,
    ];
    for (name, settings) in [
        ("run", [recipe.as_str(), "", ""]),
        ("other", ["", fine.as_str(), ""]),
        ("decoder", ["", "", DECODER]),
        ("bare", [""; 3]),
    ] {
        let texts = [&settings[..], &tables[..]].concat();
        let texts: Vec<&[u8]> = texts.into_iter().map(str::as_bytes).collect();
        corpus.add("report", name, joined(&texts))?;
    }
    for (name, list) in LISTS {
        corpus.add("lists", name, list)?;
    }
    corpus.add("lists", "records", [b"x".to_vec(), vec![1; 3073]].concat())?;
    for (number, request) in REQUESTS.iter().enumerate() {
        corpus.add("serve", &format!("request{number}"), request)?;
    }
    corpus.add("masks", "zeros", [0; 64])
}
