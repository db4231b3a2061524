//! The `README.md` of a folder on the hub: metadata between lines of dashes, then text.

use std::{fs, path::Path};

use super::EncoderRole;
use crate::{VisionTransformerConfig, VitVariant};

/// The identifier where no licence is known.
const UNKNOWN: &str = "unknown";

/// The licence that the card at `path` names, if there is one.
pub(crate) fn licence_in(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let is_edge = |line: &&str| line.starts_with("---");
    lines.next().filter(is_edge)?;
    let mut metadata = lines.take_while(|line| !is_edge(line));
    let licence = metadata.find_map(|line| line.strip_prefix("license:"))?;
    let licence = licence.trim().trim_matches(['"', '\'']);
    (!licence.is_empty() && licence != UNKNOWN).then(|| licence.to_owned())
}

/// The card of an encoder in a folder called as `path` is.
pub(crate) fn text(
    path: &Path,
    config: &VisionTransformerConfig,
    role: EncoderRole,
    licence: Option<&str>,
) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut variants = VitVariant::ALL.into_iter();
    let variant = variants.find(|it| it.patch_size == config.patch_size && it.has_sizes(config));
    let arch = variant.map_or("a ViT", |variant| variant.name);
    let role = match role {
        EncoderRole::Target => "target encoder, the average that the paper evaluates",
        EncoderRole::Context => "context encoder, the trained one",
    };
    let licence_says = match licence {
        Some(_) => "",
        None => {
            "\nThe licence is not known: weights made of others keep theirs \
             (those of the paper's authors are cc-by-nc-4.0). Fill in `license` above before publishing.\n"
        }
    };
    let VisionTransformerConfig {
        image_size: [height, width],
        patch_size,
        in_chans,
        embed_dim,
        depth,
        num_heads,
        ..
    } = config;
    format!(
        "---
license: {}
library_name: transformers
pipeline_tag: image-feature-extraction
tags:
- ijepa
- vision-transformer
- self-supervised
---

# {name}

An image encoder trained by I-JEPA (Assran et al. 2023, [arXiv:2301.08243](https://arxiv.org/abs/2301.08243)): the {role}.
{licence_says}
| architecture | {arch} |
|---|---|
| width, blocks, heads | {embed_dim}, {depth}, {num_heads} |
| images | {height} x {width}, {in_chans} channels |
| patches | {patch_size} x {patch_size} |

It has no class token: the features of an image are the mean over its patches, {embed_dim} numbers.
Sizes are in `config.json`, resizing and normalisation in `preprocessor_config.json`.

With `transformers`:

```python
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained(\"{name}\")
model = AutoModel.from_pretrained(\"{name}\")
inputs = processor(Image.open(\"photo.jpg\"), return_tensors=\"pt\")
features = model(**inputs).last_hidden_state.mean(dim=1)
```

With `ijepa`:

```sh
ijepa embed --weights {name} --data folder:photos --out photos.safetensors
```
",
        licence.unwrap_or(UNKNOWN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_it_is_and_its_licence_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("README.md");
        let config = VisionTransformerConfig::variant("vit_b16").unwrap();
        let card = |licence| text(Path::new("a/ours"), &config, EncoderRole::Target, licence);
        let known = card(Some("cc-by-nc-4.0"));
        fs::write(&path, &known).unwrap();
        assert_eq!(licence_in(&path).as_deref(), Some("cc-by-nc-4.0"));
        for words in [
            "# ours\n",
            "| architecture | vit_b16 |",
            "224 x 224",
            "target encoder",
            "from_pretrained(\"ours\")",
            "--weights ours",
        ] {
            assert!(known.contains(words), "{words}");
        }
        assert!(!known.contains("not known"));
        let unknown = card(None);
        assert!(unknown.starts_with("---\nlicense: unknown\n") && unknown.contains("not known"));
        fs::write(&path, unknown).unwrap();
        assert_eq!(licence_in(&path), None);
        fs::write(&path, "no metadata\nlicense: mit\n").unwrap();
        assert_eq!(licence_in(&path), None);
    }
}
