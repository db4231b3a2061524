//! In which size two networks differ.

use ijepa_model::{IJepaConfig, VisionTransformerConfig};
use serde::Serialize;
use serde_json::{Map, Value};

/// A key of recipes with two values of it.
pub(crate) type Difference = (String, String, String);

/// The first size in which the encoder `found` is not as `expected`, with both values.
pub fn differing_size(
    found: &VisionTransformerConfig,
    expected: &VisionTransformerConfig,
) -> Option<Difference> {
    let key = |name: &str| match name {
        "in_chans" => "data.channels".to_owned(),
        name => format!("model.{name}"),
    };
    first_different(found, expected, key)
}

/// As [`differing_size`], of encoder and predictor.
pub(crate) fn differing_size_of_models(
    found: &IJepaConfig,
    expected: &IJepaConfig,
) -> Option<Difference> {
    differing_size(&found.encoder, &expected.encoder).or_else(|| {
        let key = |name: &str| match name {
            "context" => "predictor.context".to_owned(),
            "target" | "center_targets" => format!("objective.{name}"),
            name => format!("model.predictor_{name}"),
        };
        first_different(&found.predictor, &expected.predictor, key)
    })
}

/// The first field in which `found` is not as `expected`, by its `key`, with both values.
pub fn first_different<T: Serialize>(
    found: &T,
    expected: &T,
    key: impl Fn(&str) -> String,
) -> Option<Difference> {
    let (found, expected) = (fields(found), fields(expected));
    let (name, value) = found
        .iter()
        .find(|(name, value)| expected.get(*name) != Some(value))?;
    let expected = expected.get(name).unwrap_or(&Value::Null);
    Some((key(name), value.to_string(), expected.to_string()))
}

fn fields(config: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use ijepa_model::PredictorConfig;

    use super::*;

    #[test]
    fn sizes_are_called_as_recipes_call_them() {
        let encoder = VisionTransformerConfig::variant("vit_ti16").unwrap();
        let model = IJepaConfig {
            encoder,
            predictor: PredictorConfig::new(96, 2),
        };
        assert_eq!(differing_size_of_models(&model, &model), None);
        let mut other = model.clone();
        other.predictor.depth = 3;
        let found = differing_size_of_models(&model, &other).unwrap();
        let expected = ["model.predictor_depth", "2", "3"].map(str::to_owned);
        assert_eq!(<[String; 3]>::from(found), expected);
        other.encoder.in_chans = 4;
        let (key, ..) = differing_size_of_models(&model, &other).unwrap();
        assert_eq!(key, "data.channels");
    }
}
