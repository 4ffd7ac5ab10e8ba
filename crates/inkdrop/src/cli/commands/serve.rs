//! `inkdrop serve`: a page and an HTTP API for models and training runs.

mod engine;
mod models;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop::torch::DeviceChoice;
use inkdrop_serve::{Limits, ServeOptions, Server};

use crate::options::{Tf32, local_device};
use crate::stdout::print_line;
use models::Models;

/// Show models and training runs on a local web page, with an HTTP API
///
/// The page samples and edits images, and watches training runs. The API has the form of OpenAI's
/// image API: POST /v1/images/generations; /openapi.json describes it. Only this machine reaches the
/// server unless --host is given, and requests that act need the token that is printed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run directories of `inkdrop train`, and models: files, diffusers directories or built-in names
    /// [default: the built-in models]
    #[arg(value_name = "RUN|MODEL")]
    paths: Vec<PathBuf>,
    /// Port; 0 for any free port
    #[arg(long, default_value_t = 7860)]
    port: u16,
    /// Address to listen on; 0.0.0.0 for all networks of this machine
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// A further host name under which clients reach the server; repeatable
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Token of requests that act [default: random, printed at the start]
    #[arg(long)]
    token: Option<String>,
    /// Maximum number of images per request
    #[arg(long, value_name = "N", default_value_t = Limits::default().images)]
    max_images: usize,
    /// Maximum number of sampling steps per request
    #[arg(long, value_name = "N", default_value_t = Limits::default().steps)]
    max_steps: usize,
    /// Maximum number of images per pass of the network; waiting requests share passes
    #[arg(long, value_name = "N", default_value_t = Limits::default().pass_images)]
    batch: usize,
    /// Maximum number of waiting requests; others are answered with 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().waiting)]
    max_waiting: usize,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Mixed precision: f32, bf16 or f16
    #[arg(long, default_value = "f32")]
    precision: String,
    #[command(flatten)]
    tf32: Tf32,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    arguments.tf32.apply()?;
    let limits = arguments.limits()?;
    let (runs, models): (Vec<_>, Vec<_>) =
        arguments.paths.iter().cloned().partition(|path| path.join("config.toml").is_file());
    let device = local_device(arguments.device)?;
    let precision = (arguments.precision.as_str(), arguments.tf32);
    let models = Models::open(&models, &runs, device, precision, limits.steps)?;
    let options = ServeOptions {
        address: SocketAddr::new(arguments.host, arguments.port),
        allowed_hosts: arguments.hosts(),
        token: arguments.token.clone(),
        limits,
        runs,
    };
    let server = Server::bind(models, &options)?;
    let address = server.address()?;
    let shown = match address.ip().is_unspecified() {
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        false => address,
    };
    print_line(&format!("http://{shown}/#token={}", server.token()))?;
    if shown != address {
        eprintln!(
            "other machines reach it by an address of this one, by name with --allow-host NAME"
        );
    }
    eprintln!("open this address in a browser; Ctrl-C stops the server");
    server.run(|| {
        eprintln!("finishing the pass in progress (20 s at most); Ctrl-C again ends it");
    });
    Ok(0)
}

impl Arguments {
    fn limits(&self) -> Result<Limits> {
        let Self { max_images, max_steps, batch, max_waiting, .. } = *self;
        let counts = [
            ("--max-images", max_images),
            ("--max-steps", max_steps),
            ("--batch", batch),
            ("--max-waiting", max_waiting),
        ];
        for (option, count) in counts {
            ensure!(count > 0, "{option} 0: expected at least 1");
        }
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        ensure!(
            self.token.as_ref().is_none_or(|token| !token.is_empty() && token.chars().all(plain)),
            "--token: expected letters, digits, - and _"
        );
        Ok(Limits {
            images: max_images,
            steps: max_steps,
            pass_images: batch,
            waiting: max_waiting,
            ..Limits::default()
        })
    }

    /// The address itself is a name, too, unless it stands for all.
    fn hosts(&self) -> Vec<String> {
        let own = (!self.host.is_unspecified()).then(|| match self.host {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        });
        own.into_iter().chain(self.allow_host.clone()).collect()
    }
}
