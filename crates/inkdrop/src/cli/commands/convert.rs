//! `inkdrop convert`: checkpoints from one format to another, with the same keys.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use inkdrop::checkpoint::{DiffusersFolder, StateDict, load};
use inkdrop::model::{
    Classes, ConfigSource, MARK, ModelCard, ModelOverrides, ResolvedModel, SHORTCUT,
    SamplingDefaults, Source, precision, resolve, resolve_process, scheduler, stored_metadata,
};
use inkdrop::torch::tch::{Device, Kind, Tensor};
use inkdrop::unet::{ModelConfig, Unet2dArguments};
use serde_json::Value;

use super::inspect::{list, unsupported};
use crate::options::OverrideArgs;
use crate::output::sink::check_place;
use crate::stdout::print_line;

/// Convert checkpoints between PyTorch, safetensors and diffusers
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Input: a .pt, .pth, .bin, .pkl, .safetensors or .npz file, a diffusers directory, or a built-in model
    input: String,
    /// Output: x.safetensors (with metadata), x.pt, x.pth or x.bin (for torch.load and
    /// load_state_dict), or directory/ (diffusers, for family unet2d)
    output: PathBuf,
    /// Convert floating point weights to f32, f16 or bf16
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// Store a model card in x.safetensors: a TOML file with about, data, recipe, licence, and
    /// optionally classes, [figures] and [sampling]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Omit init_conv.shortcut, which the ContextUnet of the sprites notebook does not have
    #[arg(long)]
    drop_shortcut: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// Output format, by file name.
enum Format {
    Safetensors,
    Torch,
    Diffusers,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { input, output, .. } = arguments;
    let overrides = &arguments.overrides.overrides();
    let format = Format::of(output)?;
    let kind = arguments.dtype.as_deref().map(precision).transpose()?;
    format.check_input(Path::new(input), output)?;
    let source = Source::open(input)?;
    let part = source.part(overrides.part.as_deref())?;
    let weights = plain(&part, kind, arguments.drop_shortcut)?;
    let network = network(&source, overrides, &format)?;
    let left_out = check_complete(&part, network.is_ok())?;
    let card = arguments.card.as_deref().map(read_card).transpose()?;
    ensure!(
        card.is_none() || matches!(format, Format::Safetensors),
        "--card: only x.safetensors can store it"
    );
    let count = weights.iter().count();
    let note = match format {
        Format::Torch => {
            ensure!(
                overrides.process.is_none(),
                "--process: a PyTorch file cannot store a process; write x.safetensors"
            );
            let order: Vec<&str> = part.order().iter().map(String::as_str).collect();
            weights.save_torch(output, &order)?;
            shortcut_note(&weights)
        }
        Format::Safetensors => {
            let weights = with_card(&source, weights, network.as_ref().ok(), card)?;
            write_safetensors(&source, weights, network, overrides, output)?
        }
        Format::Diffusers => write_diffusers(&source, weights, network?, overrides, output)?,
    };
    print_line(&format!("{} contains {count} tensors{note}{left_out}", output.display()))?;
    Ok(0)
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
                "{}: unknown ending .{ending}, expected x.safetensors, x.pt, x.pth, x.bin or directory/",
                output.display()
            ),
            _ => return Ok(Self::Diffusers),
        };
        check_place(output)?;
        Ok(format)
    }

    /// Checks that the output does not overwrite the input.
    fn check_input(&self, input: &Path, output: &Path) -> Result<()> {
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
            "{} is the input and would be overwritten: choose another name",
            input.display()
        );
        Ok(())
    }
}

/// The network, or the reason why it is unknown. Tensors are converted in any case, but a config of the
/// user or of the file must match, and a diffusers directory needs one.
fn network(
    source: &Source,
    overrides: &ModelOverrides,
    format: &Format,
) -> Result<Result<ResolvedModel>> {
    let mut resolved = match resolve(source, overrides) {
        Err(error) if overrides.set_network() => return Err(error.into()),
        Err(error) => return Ok(Err(error.into())),
        Ok(resolved) => resolved,
    };
    if matches!(format, Format::Diffusers) {
        ensure!(
            matches!(resolved.config, ModelConfig::Unet2d(_)),
            "diffusers has no network of family {}: expected x.safetensors or x.pt, not a directory",
            resolved.config.family()
        );
        // The config.json of diffusers may omit the size.
        if resolved.undetermined.iter().any(|unknown| unknown.field != "size") {
            resolved.check_determined(&source.name, overrides.assume)?;
        }
    }
    if overrides.assume {
        resolved.undetermined.clear();
    }
    match verify(&source.name, &resolved) {
        Err(error) if resolved.origin == ConfigSource::Keys && !overrides.set_network() => {
            Ok(Err(error))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(Ok(resolved)),
    }
}

/// Checks that all keys and shapes match.
fn verify(name: &str, resolved: &ResolvedModel) -> Result<()> {
    let network = resolved.network()?.build_uninitialized(Kind::Float, Device::Cpu)?;
    load(network.params(), &resolved.weights, &SHORTCUT).with_context(|| {
        format!(
            "{name} does not match the network of family {} from {}",
            resolved.config.family(),
            resolved.origin
        )
    })
}

/// The tensors without metadata.
fn plain(weights: &StateDict, kind: Option<Kind>, drop_shortcut: bool) -> Result<StateDict> {
    let mut plain = StateDict::default();
    for (key, tensor) in weights.iter() {
        if drop_shortcut && SHORTCUT.contains(&key) {
            continue;
        }
        let tensor = match kind {
            Some(kind) if tensor.is_floating_point() => narrowed(key, tensor, kind)?,
            _ => tensor.shallow_clone(),
        };
        plain.insert(key, tensor);
    }
    Ok(plain)
}

/// A tensor in another dtype, in which all finite values must stay finite.
fn narrowed(key: &str, tensor: &Tensor, kind: Kind) -> Result<Tensor> {
    let narrow = tensor.f_to_kind(kind)?;
    let infinite = |tensor: &Tensor| tensor.f_isinf()?.f_sum(Kind::Int64)?.f_int64_value(&[]);
    ensure!(
        infinite(&narrow)? == infinite(tensor)?,
        "`{key}` has values that are too large for this dtype and would become infinite: choose --dtype bf16 or f32"
    );
    Ok(narrow)
}

/// A note about tensors that cannot be read and do not belong to the network; an error if they may be its own.
///
/// - matches: true if the network has all of its tensors without them
fn check_complete(part: &StateDict, matches: bool) -> Result<String> {
    let names: Vec<String> = unsupported(part).collect();
    if names.is_empty() {
        return Ok(String::new());
    }
    ensure!(
        matches,
        "these tensors have dtypes or layouts that cannot be read: {}; convert them with PyTorch first",
        list(&names)
    );
    Ok(format!("; left out, since they cannot be read: {}", list(&names)))
}

fn read_card(path: &Path) -> Result<ModelCard> {
    let place = || format!("--card {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    ModelCard::read(&text).with_context(place)
}

/// Stores a card in the metadata; its class names and its sampling defaults are entries of their own.
fn with_card(
    source: &Source,
    mut weights: StateDict,
    network: Option<&ResolvedModel>,
    card: Option<ModelCard>,
) -> Result<StateDict> {
    if let Some(card) = card {
        weights.set_metadata("card", &card)?;
        if !card.classes.is_empty() {
            let stored: Option<Classes> = stored_metadata(&source.whole, "classes")?;
            let null = match (stored, network) {
                (Some(stored), _) => stored.null,
                (None, network) => network.and_then(|network| network.config.null_class()),
            };
            let names = card.classes.clone();
            if let Some(network) = network {
                let count = network.config.classes().unwrap_or(0);
                ensure!(
                    names.len() as i64 <= count,
                    "--card: it names {} classes, the network has {count}",
                    names.len()
                );
            }
            weights.set_metadata("classes", &Classes { names, null })?;
        }
        if card.sampling != SamplingDefaults::default() {
            weights.set_metadata("sampling", &card.sampling)?;
        }
    }
    Ok(weights)
}

fn shortcut_note(weights: &StateDict) -> String {
    let present = SHORTCUT.iter().any(|key| weights.get(key).is_some());
    let note = "; with init_conv.shortcut, which the ContextUnet of the sprites notebook does not have (--drop-shortcut omits it)";
    if present { note.to_string() } else { String::new() }
}

/// Writes a safetensors file with the metadata that is known; returns a note about the rest.
fn write_safetensors(
    source: &Source,
    mut weights: StateDict,
    network: Result<ResolvedModel>,
    overrides: &ModelOverrides,
    output: &Path,
) -> Result<String> {
    let mut unknown = Vec::new();
    weights.set_metadata(MARK, &env!("CARGO_PKG_VERSION"))?;
    let process = match resolve_process(source, overrides, network.as_ref().ok()) {
        Err(error) if overrides.process.is_none() => Err(error.report()),
        process => process?.ok_or_else(|| "give it with --process".to_string()),
    };
    match &network {
        Err(error) => unknown.push(format!("\n  the network: {error:#}")),
        Ok(network) if !network.undetermined.is_empty() => {
            unknown.push(format!("\n  the network: {}", network.undetermined_hint()));
        }
        Ok(network) => weights.set_metadata("model", &network.config)?,
    }
    match &process {
        Err(why) => unknown.push(format!("\n  the process: {why}")),
        Ok(process) => weights.set_metadata("process", process)?,
    }
    if let Ok(network) = &network {
        let names = network.contexts(&source.name)?;
        if !names.is_empty() || network.config.contexts() == 0 {
            weights.set_metadata("contexts", &names)?;
        }
    }
    for key in ["training", "classes", "card", "sampling", "condition", "depth"] {
        if weights.metadata_text(key).is_none()
            && let Some(value) = stored_metadata::<Value>(&source.whole, key)?
        {
            weights.set_metadata(key, &value)?;
        }
    }
    weights.save(output)?;
    let followed = source.scheduler.as_ref().filter(|_| overrides.process.is_none());
    let clipping = followed.and_then(scheduler::note_of_clipping);
    let clipping = clipping.map_or_else(String::new, |note| format!("; {note}"));
    Ok(match unknown.as_slice() {
        [] => format!(", with metadata{clipping}"),
        unknown => format!("; its metadata lacks{}{clipping}", unknown.concat()),
    })
}

fn write_diffusers(
    source: &Source,
    weights: StateDict,
    network: ResolvedModel,
    overrides: &ModelOverrides,
    output: &Path,
) -> Result<String> {
    let ModelConfig::Unet2d(config) = &network.config else {
        bail!("diffusers has no network of family {}", network.config.family());
    };
    if let Some(condition) = network.condition {
        bail!(
            "the network is conditioned on an image ({}), which no pipeline of diffusers gives it: convert it to a file",
            condition.name()
        );
    }
    let mut config = serde_json::to_value(Unet2dArguments::of(config)?)?;
    if network.undetermined.iter().any(|unknown| unknown.field == "size") {
        config["sample_size"] = Value::Null;
    }
    let (scheduler, note) = scheduler(source, overrides, &network)?;
    let folder = DiffusersFolder { config, scheduler, weights };
    folder.write(output)?;
    Ok(match folder.scheduler.is_some() && folder.pipeline().is_none() {
        true => format!(
            "{note}; no pipeline of diffusers samples with this scheduler, so there is no model_index.json: load unet/ and scheduler/ each by itself"
        ),
        false => note.to_string(),
    })
}

/// The scheduler of the input, unchanged, or one for the process; with a note.
fn scheduler(
    source: &Source,
    overrides: &ModelOverrides,
    network: &ResolvedModel,
) -> Result<(Option<Value>, &'static str)> {
    const WITH: &str = ", with a scheduler_config.json";
    if let (None, Some(theirs)) = (&overrides.process, &source.scheduler) {
        return Ok((Some(theirs.clone()), WITH));
    }
    let process = resolve_process(source, overrides, Some(network))?;
    let scheduler = process.as_ref().and_then(scheduler::write);
    let note = match (&process, &scheduler) {
        (_, Some(_)) => WITH,
        (Some(_), None) => {
            "; without scheduler_config.json: diffusers has no scheduler for this process"
        }
        (None, None) => "; without scheduler_config.json: the process is unknown (give --process)",
    };
    Ok((scheduler, note))
}
