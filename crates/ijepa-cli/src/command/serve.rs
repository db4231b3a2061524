//! `ijepa serve`: features over HTTP.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    time::Duration,
};

use clap::Args;
use ijepa_eval::{Embedder, Error};
use ijepa_model::Pooling;
use ijepa_serve::{Model, ServeConfig, serve};
use serde_json::json;

use crate::{
    args::{ReadArgs, positive},
    bug,
    context::Context,
    error::CliError,
    features::{EncoderChoice, WeightsArgs},
    report::{self, Report},
};

/// Answer HTTP requests for the features of images: POST /embed, GET /healthz, GET /metrics
///
/// Requests that come together are computed together, up to `--batch-size` images. Ctrl-C or a
/// request to terminate ends it when what has arrived is answered, a second one at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa serve --weights runs/mine --address 127.0.0.1:8080\n  \
                  curl --data-binary @photo.jpg http://127.0.0.1:8080/embed\n  \
                  curl -F a=@one.jpg -F b=@two.png http://127.0.0.1:8080/embed"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    #[command(flatten)]
    read: ReadArgs,
    /// Address and port to listen at; port 0 takes a free one and says which
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    address: SocketAddr,
    /// Listens at an address that other machines reach; nobody asks them who they are
    #[arg(long)]
    allow_remote: bool,
    /// Requests under way; more are answered with 429
    #[arg(long, value_name = "N", default_value = "256", value_parser = positive)]
    queue: usize,
    /// Milliseconds that an image waits for others to be computed with
    #[arg(long, value_name = "N", default_value = "4")]
    wait_ms: u64,
    /// Largest request in MiB
    #[arg(long, value_name = "N", default_value = "16", value_parser = positive)]
    max_mib: usize,
    /// Most millions of pixels of an image
    #[arg(long, value_name = "N", default_value = "50")]
    max_megapixels: u64,
}

impl Serve {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let address = self.address;
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(CliError::RemoteAddress { address });
        }
        let bound = |source| CliError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(bound)?;
        let model = self.model(context)?;
        let address = listener.local_addr().map_err(bound)?;
        report::line(&format!("listening at http://{address}"));
        let config = ServeConfig {
            batch_size: context.feature_batch(),
            wait: Duration::from_millis(self.wait_ms),
            requests: self.queue,
            max_bytes: self.max_mib.saturating_mul(1 << 20),
            max_pixels: self.max_megapixels.saturating_mul(1_000_000),
            workers: context.workers().max(1),
            ..ServeConfig::default()
        };
        serve(listener, model, config).map_err(|source| match source.kind() {
            ErrorKind::Interrupted => CliError::CutShort,
            _ => bound(source),
        })?;
        Ok(Report {
            text: "stopped; all requests were answered\n".to_owned(),
            json: json!({ "address": address.to_string() }),
        })
    }

    fn model(&self, context: &Context) -> Result<Model, CliError> {
        let device = &context.compute()?.device;
        let frozen = self.weights.load(self.encoder, context)?;
        let read = &self.read;
        let extraction = read.extraction(Pooling::Mean, frozen.wanted, None, context);
        let config = extraction.config;
        let embedder = Embedder::new(&frozen.encoder, config, device);
        let mut embedder = embedder.map_err(Error::from)?;
        let (image_size, dim) = (embedder.image_size(), embedder.dim());
        // The first computation draws or loads the weights and starts the device.
        embedder.embed(&vec![0; embedder.image_bytes()]);
        Ok(Model {
            name: self.weights.name(),
            image_size,
            decoding: config.reading.decoding,
            preprocess: config.preprocess,
            dim,
            embed: Box::new(move |pixels, _| bug::told(|| embedder.embed(pixels))),
        })
    }
}

/// An address as a number or a name.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut known = text.to_socket_addrs().map_err(|why| why.to_string())?;
    known.next().ok_or_else(|| "no such address".to_owned())
}
