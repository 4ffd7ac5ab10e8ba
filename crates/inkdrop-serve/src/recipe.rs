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
    let (file, options) = match &model.arguments[..] {
        [file, options @ ..] => (file.as_str(), options),
        [] => ("", &[][..]),
    };
    let mut text = String::new();
    let mut builder = String::new();
    for pair in options.chunks(2) {
        let [name, value] = pair else { continue };
        match name.trim_start_matches('-') {
            "tf32" => _ = writeln!(text, "inkdrop::torch::allow_tf32({})?;", value == "on"),
            name => _ = write!(builder, ".{name}({value:?})"),
        }
    }
    let _ = match builder.is_empty() {
        true => write!(text, "let pipeline = inkdrop::Pipeline::open({file:?})?"),
        false => {
            write!(text, "let pipeline = inkdrop::Pipeline::builder({file:?}){builder}.build()?")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;

    fn request(settings: Settings) -> Request {
        Request { settings, condition: None, count: 2, seed: 7, task: Task::Generate }
    }

    #[test]
    fn recipes_open_the_model_as_the_server_does() {
        let words = ["a.safetensors", "--part", "ema", "--precision", "bf16", "--tf32", "on"];
        let arguments = words.map(ToString::to_string).to_vec();
        let model = ModelInfo { arguments, ..ModelInfo::default() };
        let request = request(Settings::default());
        assert!(
            command(&model, &request).contains("--part ema --precision bf16 --tf32 on --seed 7")
        );
        let lines = rust(&model, &request);
        assert!(
            lines.starts_with("inkdrop::torch::allow_tf32(true)?;\nlet pipeline = "),
            "{lines}"
        );
        let builder = r#"builder("a.safetensors").part("ema").precision("bf16").build()?"#;
        assert!(lines.contains(builder), "{lines}");
        let model = ModelInfo { arguments: vec!["sprites".to_string()], ..model };
        assert!(rust(&model, &request).contains(r#"Pipeline::open("sprites")?"#));
    }

    /// The steps of a joint pass would be those of all its images.
    #[test]
    fn adaptive_steps_are_not_shared() {
        let with = |sampler: &str| {
            request(Settings { sampler: Some(sampler.to_string()), ..Settings::default() })
        };
        assert!(with("dpm++2m").joins(&with("dpm++2m")));
        assert!(!with("dpm-adaptive").joins(&with("dpm-adaptive")));
    }
}
