//! Pictures of what I-JEPA's encoders and predictors represent.
