//! `inkdrop convert`: weights from one format into another, with the same keys.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use inkdrop_checkpoint::{DiffusersFolder, Weights, load};
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_unet::{ModelConfig, Unet2dArguments};
use serde_json::Value;

use crate::making::output::check_place;
use crate::model::card::{SHORTCUT, contexts, precision};
use crate::model::describe::{self, Described, Origin};
use crate::model::foreign::Foreign;
use crate::model::scheduler;
use crate::model::source::Source;
use crate::say::say;

/// Convert weights between PyTorch, safetensors and diffusers folders
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .pt, .pth, .bin, .safetensors or .npz file, a diffusers folder, or a built-in model
    input: String,
    /// x.safetensors (which explains itself), x.pt, x.pth or x.bin (for torch.load and
    /// load_state_dict), or folder/ (diffusers, for family unet2d)
    output: PathBuf,
    /// Convert floating point weights to f32, f16 or bf16
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// Leave out init_conv.shortcut, which the sprites notebook's own ContextUnet does not have
    #[arg(long)]
    drop_shortcut: bool,
    #[command(flatten)]
    foreign: Foreign,
}

/// What is written, by the name of the output.
enum Format {
    Safetensors,
    Torch,
    Diffusers,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { input, output, foreign, .. } = arguments;
    let format = Format::of(output)?;
    let kind = arguments.dtype.as_deref().map(precision).transpose()?;
    format.spare(Path::new(input), output)?;
    let source = Source::open(input)?;
    let weights = source.part(foreign.part.as_deref())?;
    let weights = plain(&weights, kind, arguments.drop_shortcut)?;
    let network = network(&source, foreign, &format)?;
    let count = weights.iter().count();
    let told = match format {
        Format::Torch => {
            ensure!(foreign.process.is_none(), "a PyTorch file has no place for --process");
            weights.save_torch(output, &[])?;
            shortcut_note(&weights)
        }
        Format::Safetensors => explain(&source, weights, network, foreign, output)?,
        Format::Diffusers => write_folder(&source, weights, network?, foreign, output)?,
    };
    say(&format!("{} holds {count} tensors{told}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

impl Format {
    fn of(output: &Path) -> Result<Self> {
        let ending = output.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let slash = output.to_string_lossy().ends_with(std::path::is_separator);
        let format = match ending.as_deref() {
            _ if slash => return Ok(Self::Diffusers),
            Some("safetensors") => Self::Safetensors,
            Some("pt" | "pth" | "bin") => Self::Torch,
            Some(ending) if !output.is_dir() => bail!(
                "{}: unknown ending .{ending}, expected x.safetensors, x.pt, x.pth, x.bin or folder/",
                output.display()
            ),
            _ => return Ok(Self::Diffusers),
        };
        check_place(output)?;
        Ok(format)
    }

    /// Makes sure that what is read is not written over.
    fn spare(&self, input: &Path, output: &Path) -> Result<()> {
        let written = match self {
            Self::Diffusers => DiffusersFolder::weights_at(output).to_vec(),
            Self::Safetensors | Self::Torch => vec![output.to_path_buf()],
        };
        let over = |written: &PathBuf| match (input.canonicalize(), written.canonicalize()) {
            (Ok(input), Ok(written)) => written.starts_with(input),
            _ => false,
        };
        ensure!(
            !written.iter().any(over),
            "{} would be written over itself: choose another name",
            input.display()
        );
        Ok(())
    }
}

/// The network, or why it is not known: keys and tensors convert all the same, but what the
/// user or the file says has to be true, and a folder needs it.
fn network(source: &Source, foreign: &Foreign, format: &Format) -> Result<Result<Described>> {
    let mut described = match describe::describe(source, foreign) {
        Err(error) if foreign.describes() => return Err(error),
        Err(error) => return Ok(Err(error)),
        Ok(described) => described,
    };
    if matches!(format, Format::Diffusers) {
        ensure!(
            matches!(described.config, ModelConfig::Unet2d(_)),
            "diffusers has no network of family {}: expected x.safetensors or x.pt, not a folder",
            described.config.family()
        );
        // diffusers' config need not say the size, so it is not asked for.
        if described.assumed.iter().any(|assumed| assumed.field != "size") {
            described.settled(&source.name, foreign.assume)?;
        }
    }
    if foreign.assume {
        described.assumed.clear();
    }
    match verify(&source.name, &described) {
        Err(error) if described.origin == Origin::Keys && !foreign.describes() => Ok(Err(error)),
        Err(error) => Err(error),
        Ok(()) => Ok(Ok(described)),
    }
}

/// Makes sure that every key and shape is there.
fn verify(name: &str, described: &Described) -> Result<()> {
    let network = described.config.build_uninitialized(Kind::Float, Device::Cpu)?;
    load(network.params(), &described.weights, &SHORTCUT).with_context(|| {
        format!(
            "{name} is not the network of family {} that {} make of it",
            described.config.family(),
            described.origin
        )
    })
}

/// The tensors alone, without metadata.
fn plain(weights: &Weights, kind: Option<Kind>, drop_shortcut: bool) -> Result<Weights> {
    let mut plain = Weights::default();
    for (key, tensor) in weights.iter() {
        if drop_shortcut && SHORTCUT.contains(&key) {
            continue;
        }
        let tensor = match kind {
            Some(kind) if tensor.is_floating_point() => tensor.f_to_kind(kind)?,
            _ => tensor.shallow_clone(),
        };
        plain.insert(key, tensor);
    }
    Ok(plain)
}

fn shortcut_note(weights: &Weights) -> String {
    let there = SHORTCUT.iter().any(|key| weights.get(key).is_some());
    let note = "; init_conv.shortcut among them, which the notebook's own ContextUnet does not have (--drop-shortcut leaves it out)";
    if there { note.to_string() } else { String::new() }
}

/// Adds what is known of the network and its process; says what is not.
fn explain(
    source: &Source,
    mut weights: Weights,
    network: Result<Described>,
    foreign: &Foreign,
    output: &Path,
) -> Result<String> {
    let mut unsaid = Vec::new();
    let process = match describe::process(source, foreign, network.as_ref().ok()) {
        Err(error) if foreign.process.is_none() => Err(format!("{error:#}")),
        process => process?.ok_or_else(|| "name it with --process".to_string()),
    };
    match &network {
        Err(error) => unsaid.push(format!("\n  the network: {error:#}")),
        Ok(network) if !network.assumed.is_empty() => {
            unsaid.push(format!("\n  the network: {}", network.unsettled()));
        }
        Ok(network) => weights.set_metadata("model", &network.config)?,
    }
    match &process {
        Err(why) => unsaid.push(format!("\n  the process: {why}")),
        Ok(process) => weights.set_metadata("process", process)?,
    }
    if let Ok(network) = &network {
        let names = contexts(&source.name, network)?;
        if !names.is_empty() || network.config.contexts() == 0 {
            weights.set_metadata("contexts", &names)?;
        }
    }
    for key in ["training", "classes"] {
        if let Some(text) = source.whole.metadata_text(key) {
            weights.set_metadata_text(key, text);
        }
    }
    weights.save(output)?;
    Ok(match unsaid.as_slice() {
        [] => ", and says what they are".to_string(),
        unsaid => format!("; it does not say{}", unsaid.concat()),
    })
}

fn write_folder(
    source: &Source,
    weights: Weights,
    network: Described,
    foreign: &Foreign,
    output: &Path,
) -> Result<String> {
    let ModelConfig::Unet2d(config) = &network.config else {
        bail!("diffusers has no network of family {}", network.config.family());
    };
    let mut config = serde_json::to_value(Unet2dArguments::of(config)?)?;
    if network.assumed.iter().any(|assumed| assumed.field == "size") {
        config["sample_size"] = Value::Null;
    }
    let (scheduler, note) = scheduler(source, foreign, &network)?;
    DiffusersFolder { config, scheduler, weights }.write(output)?;
    Ok(note.to_string())
}

/// The scheduler that a folder came with, as it is, or one for the process; and what to say of it.
fn scheduler(
    source: &Source,
    foreign: &Foreign,
    network: &Described,
) -> Result<(Option<Value>, &'static str)> {
    const WITH: &str = ", with a scheduler_config.json";
    if let (None, Some(theirs)) = (&foreign.process, &source.scheduler) {
        return Ok((Some(theirs.clone()), WITH));
    }
    let process = describe::process(source, foreign, Some(network))?;
    let scheduler = process.as_ref().and_then(scheduler::write);
    let note = match (&process, &scheduler) {
        (_, Some(_)) => WITH,
        (Some(_), None) => "; diffusers has no scheduler for its process, so there is none",
        (None, None) => {
            "; its process is unknown, so there is no scheduler_config.json (--process names it)"
        }
    };
    Ok((scheduler, note))
}
