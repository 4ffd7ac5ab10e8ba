//! `inkdrop convert`: weights from one format into another, with the same keys.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use inkdrop_checkpoint::{DiffusersFolder, Weights, load};
use inkdrop_process::ProcessConfig;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_unet::{ModelConfig, Unet2dArguments};

use crate::card::{SHORTCUT, contexts, precision};
use crate::describe::Described;
use crate::foreign::Foreign;
use crate::output::check_place;
use crate::say::say;
use crate::scheduler;
use crate::source::Source;

/// Convert weights between PyTorch files, safetensors and diffusers folders
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .pt, .pth, .bin, .safetensors or .npz file, a diffusers folder, or a built-in model
    input: String,
    /// x.safetensors (which explains itself), x.pt or x.pth (for torch.load and
    /// load_state_dict), or a folder (diffusers, for family unet2d)
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
    let format = format(output)?;
    ensure!(!same(Path::new(input), output), "{input} would be written over itself");
    let source = Source::open(input)?;
    let mut weights = source.part(foreign.part.as_deref())?;
    let described = describe(&source, arguments, &format)?;
    if let Some(described) = &described {
        verify(&source.name, described)?;
    }
    let kind = arguments.dtype.as_deref().map(precision).transpose()?;
    weights = plain(&weights, kind, arguments.drop_shortcut)?;
    let count = weights.iter().count();
    let process = match &described {
        Some(described) => foreign.process(&source, described)?,
        None => None,
    };
    let told = match format {
        Format::Torch => {
            weights.save_torch(output, &[])?;
            shortcut_note(&weights)
        }
        Format::Safetensors => explain(&source, &mut weights, described, process, output)?,
        Format::Diffusers => write_folder(weights, described, process, output)?,
    };
    say(&format!("{} holds {count} tensors{told}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn format(output: &Path) -> Result<Format> {
    let ending = output.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let format = match ending.as_deref() {
        Some("safetensors") => Format::Safetensors,
        Some("pt" | "pth" | "bin") => Format::Torch,
        Some("npz" | "ckpt" | "onnx" | "npy" | "zip") => {
            bail!("{}: expected x.safetensors, x.pt, x.pth or a folder", output.display())
        }
        _ => return Ok(Format::Diffusers),
    };
    check_place(output)?;
    Ok(format)
}

fn same(input: &Path, output: &Path) -> bool {
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    }
}

/// The network, where it is known: for a folder it has to be, and what the user says is
/// never passed over in silence.
fn describe(source: &Source, arguments: &Arguments, format: &Format) -> Result<Option<Described>> {
    let foreign = &arguments.foreign;
    let asked = foreign.config.is_some() || foreign.flags.is_some() || !foreign.settings.is_empty();
    match foreign.describe(source) {
        Ok(described) if matches!(format, Format::Diffusers) => {
            described.settled(&source.name, foreign.assume)?;
            Ok(Some(described))
        }
        Ok(described) => Ok(Some(described)),
        Err(error) if asked || matches!(format, Format::Diffusers) => Err(error),
        Err(_) => Ok(None), // keys and tensors convert all the same
    }
}

/// Makes sure that every key and shape is there.
fn verify(name: &str, described: &Described) -> Result<()> {
    let network = described.config.build(Kind::Float, Device::Cpu)?;
    load(network.params(), &described.weights, &SHORTCUT).with_context(|| {
        format!("{name} does not fit the {} network that it should be", described.config.family())
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
    weights: &mut Weights,
    described: Option<Described>,
    process: Option<ProcessConfig>,
    output: &Path,
) -> Result<String> {
    let unknown = match &described {
        None => Some("what network it is: its keys are those of no known family".to_string()),
        Some(described) => {
            let open = described.settled(&source.name, false).err();
            let processes = || "its process: --process names it".to_string();
            open.map(|error| error.to_string()).or_else(|| process.is_none().then(processes))
        }
    };
    if let Some(described) = &described {
        if described.assumed.is_empty() {
            weights.set_metadata("model", &described.config)?;
        }
        if let Some(process) = &process {
            weights.set_metadata("process", process)?;
        }
        let names = contexts(&source.name, described)?;
        if !names.is_empty() || described.config.contexts() == 0 {
            weights.set_metadata("contexts", &names)?;
        }
        if let Some(training) = source.whole.metadata_text("training") {
            weights.set_metadata_text("training", training);
        }
    }
    weights.save(output)?;
    Ok(match unknown {
        None => ", and says what they are".to_string(),
        Some(unknown) => format!("\nit does not say {unknown}"),
    })
}

fn write_folder(
    weights: Weights,
    described: Option<Described>,
    process: Option<ProcessConfig>,
    output: &Path,
) -> Result<String> {
    let config = described.map(|described| described.config);
    let Some(ModelConfig::Unet2d(config)) = config else {
        bail!(
            "{}: diffusers has no network of family {}; expected a name that ends in .safetensors or .pt",
            output.display(),
            config.as_ref().map_or("unknown", ModelConfig::family)
        );
    };
    let config = serde_json::to_value(Unet2dArguments::of(&config)?)?;
    let scheduler = process.as_ref().and_then(scheduler::write);
    let note = match (&process, &scheduler) {
        (_, Some(_)) => ", with a scheduler_config.json",
        (Some(_), None) => "; diffusers has no scheduler for its process, so there is none",
        (None, None) => {
            "; its process is unknown, so there is no scheduler_config.json (--process names it)"
        }
    };
    DiffusersFolder { config, scheduler, weights }.write(output)?;
    Ok(note.to_string())
}
