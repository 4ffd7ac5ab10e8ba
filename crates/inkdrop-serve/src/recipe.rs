//! The command, and the lines of Rust, that make the images of a request.

use std::fmt::Write;

use crate::engine::{ModelInfo, Request, Task};

/// The command.
pub fn command(model: &ModelInfo, request: &Request) -> String {
    let task = match &request.task {
        Task::Generate => "sample",
        Task::Inpaint { .. } => "edit inpaint",
        Task::Vary { .. } => "edit img2img",
        Task::Interpolate { .. } => "edit interpolate",
        Task::Upscale { .. } => "edit upscale",
    };
    let file = model.arguments.first().cloned().unwrap_or_default();
    let mut words = vec!["inkdrop".to_string(), task.to_string(), quoted(&file)];
    match &request.task {
        Task::Generate => words.push(format!("-n {}", request.count)),
        Task::Inpaint { .. } => {
            words.push(format!("picture.png --mask mask.png --variations {}", request.count))
        }
        Task::Vary { strength, .. } => {
            words.push(format!("picture.png --strength {strength} --variations {}", request.count));
        }
        Task::Interpolate { images, columns } => {
            let names = (1..=images.len()).map(|number| format!("picture{number}.png"));
            words.push(format!("{} --columns {columns}", names.collect::<Vec<_>>().join(" ")));
        }
        Task::Upscale { .. } => words.push("picture.png".to_string()),
    }
    words.extend(model.arguments.iter().skip(1).map(|argument| quoted(argument)));
    words.push(format!("--seed {}", request.seed));
    if let Some(condition) = &request.condition {
        let option = if condition.contains('=') { "--context" } else { "--class" };
        words.push(format!("{option} {}", quoted(condition)));
    }
    words.extend(options(request));
    words.push("--out images.npz".to_string());
    words.join(" ")
}

/// The sampler's options.
fn options(request: &Request) -> Vec<String> {
    let settings = &request.settings;
    let text = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("--{name} {}", quoted(value)))
    };
    let number = |name: &str, value: Option<f64>| value.map(|value| format!("--{name} {value}"));
    let steps = settings.steps.map(|steps| format!("--steps {steps}"));
    let guidance = number("guidance", settings.guidance);
    let (sampler, spacing) =
        (text("sampler", &settings.sampler), text("spacing", &settings.spacing));
    [sampler, steps, spacing, number("eta", settings.eta), guidance].into_iter().flatten().collect()
}

/// A word of a shell's command.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./,=+:".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The lines of Rust; `picture` and `mask` are the reader's own.
pub fn rust(model: &ModelInfo, request: &Request) -> String {
    let mut text = match &model.arguments[..] {
        [file, option, part] if option == "--part" => {
            format!("let pipeline = inkdrop::Pipeline::builder({file:?}).part({part:?}).build()?")
        }
        arguments => {
            let file = arguments.first().cloned().unwrap_or_default();
            format!("let pipeline = inkdrop::Pipeline::open({file:?})?")
        }
    };
    let settings = &request.settings;
    match &request.condition {
        Some(condition) if condition.contains('=') => {
            let weights = condition.split(',').filter_map(|pair| pair.split_once('='));
            let weights: Vec<String> =
                weights.map(|(name, weight)| format!("({name:?}, {weight}_f32)")).collect();
            let _ = write!(text, "\n    .context([{}])", weights.join(", "));
        }
        Some(class) => _ = write!(text, "\n    .class({class:?})"),
        None => {}
    }
    if let Some(sampler) = &settings.sampler {
        let _ = write!(text, "\n    .sampler({sampler:?}.parse()?)");
    }
    if let Some(steps) = settings.steps {
        let _ = write!(text, "\n    .steps({steps})");
    }
    if let Some(spacing) = &settings.spacing {
        let _ = write!(text, "\n    .spacing({spacing:?})");
    }
    if let Some(eta) = settings.eta {
        let _ = write!(text, "\n    .eta({eta:?})");
    }
    if let Some(guidance) = settings.guidance {
        let _ = write!(text, "\n    .guidance({guidance:?})");
    }
    let call = match &request.task {
        Task::Generate => format!("sample({})", request.count),
        Task::Inpaint { .. } => "inpaint(&picture, &mask, Default::default())".to_string(),
        Task::Vary { strength, .. } => format!("img2img(&picture, {strength:?})"),
        Task::Interpolate { columns, .. } => format!("interpolate(&pictures, {columns})"),
        Task::Upscale { .. } => "upscale(&picture)".to_string(),
    };
    let _ = write!(text, "\n    .seed({});\npipeline.{call}?.save(\"images.npz\")?;", request.seed);
    text
}
