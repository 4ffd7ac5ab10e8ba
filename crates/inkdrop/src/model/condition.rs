//! Conditions of images: context weights or a class.

use inkdrop_nn::{ClassIds, Conditioning};
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Tensor};

use super::ModelMetadata;
use crate::Result;
use crate::error::{Context, bail, ensure};

/// The condition of one image: one weight per context, or a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Context weights; empty if the model has none.
    pub contexts: Vec<f32>,
    /// The class, if the model has classes.
    pub class: Option<i64>,
}

impl Condition {
    /// No condition: zero weights, and the null class if there is one.
    pub fn none(metadata: &ModelMetadata) -> Self {
        Self {
            contexts: vec![0.0; metadata.model.contexts() as usize],
            class: metadata.classes.null,
        }
    }

    /// The condition of a class: a context by name, or a class by name or number.
    ///
    /// # Errors
    /// The model has no such class or context.
    pub fn class(metadata: &ModelMetadata, name: &str) -> Result<Self> {
        let mut row = Self::none(metadata);
        let Some(count) = metadata.trained_classes() else {
            row.contexts[index(metadata, name)?] = 1.0;
            return Ok(row);
        };
        let names = &metadata.classes.names;
        let named = names.iter().position(|known| known == name).map(|at| at as i64);
        let numbered = || name.parse().ok().filter(|class| (0..count).contains(class));
        row.class = Some(named.or_else(numbered).with_context(|| {
            let numbers = format!("a number from 0 to {}", count - 1);
            match names.is_empty() {
                true => format!("unknown class `{name}`: expected {numbers}"),
                false => {
                    format!("unknown class `{name}`: expected {numbers}, or {}", names.join(", "))
                }
            }
        })?);
        Ok(row)
    }

    /// Context weights by name; other contexts are 0.
    ///
    /// # Errors
    /// The model has no such context, one is given twice, or a weight is not finite.
    pub fn contexts<'n>(
        metadata: &ModelMetadata,
        weights: impl IntoIterator<Item = (&'n str, f32)>,
    ) -> Result<Self> {
        let mut row = Self::none(metadata);
        let mut given = vec![false; row.contexts.len()];
        for (name, weight) in weights {
            ensure!(weight.is_finite(), "context `{name}={weight}`: expected a finite weight");
            let at = index(metadata, name)?;
            ensure!(!given[at], "context `{name}` is given twice");
            given[at] = true;
            row.contexts[at] = weight;
        }
        Ok(row)
    }

    /// Parses `hero=1,food=0.6`; other contexts are 0.
    ///
    /// # Errors
    /// As for [`Condition::contexts`], or text of another form.
    pub fn parse(metadata: &ModelMetadata, text: &str) -> Result<Self> {
        let weight = |part: &'_ str| {
            let Some((name, weight)) = part.split_once('=') else {
                bail!("context `{part}`: expected name=weight, such as {}=1", metadata.example());
            };
            match weight.trim().parse::<f32>() {
                Ok(value) => Ok((name.trim().to_string(), value)),
                Err(_) => bail!("context `{part}`: expected a number instead of `{weight}`"),
            }
        };
        let weights: Vec<_> = text.split(',').map(str::trim).map(weight).collect::<Result<_>>()?;
        Self::contexts(metadata, weights.iter().map(|(name, weight)| (name.as_str(), *weight)))
    }

    /// The class, if there is one or the weights are one-hot.
    pub fn one_hot(&self) -> Option<i64> {
        if self.class.is_some() {
            return self.class;
        }
        let ones = self.contexts.iter().filter(|&&weight| weight == 1.0).count();
        let zeros = self.contexts.iter().filter(|&&weight| weight == 0.0).count();
        let at = self.contexts.iter().position(|&weight| weight == 1.0)?;
        (ones == 1 && ones + zeros == self.contexts.len()).then_some(at as i64)
    }

    /// True for no condition.
    pub fn is_none(&self, metadata: &ModelMetadata) -> bool {
        *self == Self::none(metadata)
    }
}

/// The conditions of the images of a run: that of image i is i modulo their number.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// # Errors
    /// There is none.
    pub fn new(conditions: Vec<Condition>) -> Result<Self> {
        ensure!(!conditions.is_empty(), "no conditions: expected at least one");
        Ok(Self(conditions))
    }

    /// Parses a class, several classes `a,b,c`, or `each` for all classes of the model but the null
    /// class. A class whose name contains commas is one class.
    ///
    /// # Errors
    /// The model has no such class, or no classes and no contexts.
    pub fn classes(metadata: &ModelMetadata, text: &str) -> Result<Self> {
        let one = Condition::class(metadata, text);
        let names: Vec<String> = match (&one, text) {
            (Ok(_), _) => vec![text.to_string()],
            (Err(_), "each") => metadata.conditions(),
            (Err(_), _) => text.split(',').map(|name| name.trim().to_string()).collect(),
        };
        match names.len() {
            0 | 1 => Ok(Self(vec![one?])),
            _ => Self::new(
                names.iter().map(|name| Condition::class(metadata, name)).collect::<Result<_>>()?,
            ),
        }
    }

    /// The condition of an image.
    pub fn get(&self, image: usize) -> &Condition {
        &self.0[image % self.0.len()]
    }

    /// All different conditions, in order.
    pub fn as_slice(&self) -> &[Condition] {
        &self.0
    }
}

/// Index of a context: by name, or by number if the model has no names.
fn index(metadata: &ModelMetadata, name: &str) -> Result<usize> {
    let count = metadata.model.contexts() as usize;
    match metadata.model.classes() {
        _ if count > 0 => {}
        Some(_) => {
            bail!("context `{name}`: this model has classes, not contexts: expected --class N")
        }
        None => bail!("`{name}`: this model has no classes and no contexts: leave it out"),
    }
    if let Some(at) = metadata.contexts.iter().position(|known| known == name) {
        return Ok(at);
    }
    match name.parse::<usize>() {
        Ok(at) if at < count => Ok(at),
        _ if metadata.contexts.is_empty() => {
            bail!(
                "unknown context `{name}`: this model's {count} contexts have no names, expected a number from 0 to {}",
                count - 1
            )
        }
        _ => bail!("unknown context `{name}`: expected one of {}", metadata.contexts.join(", ")),
    }
}

/// The conditioning of a batch, from one condition per image.
///
/// # Errors
/// libtorch is out of memory.
pub fn conditioning<'r>(
    conditions: impl IntoIterator<Item = &'r Condition>,
    device: Device,
) -> Result<Conditioning, TorchError> {
    let conditions: Vec<&Condition> = conditions.into_iter().collect();
    let classes: Option<Vec<i64>> = conditions.iter().map(|c| c.class).collect();
    if let Some(classes) = classes {
        return Ok(Conditioning::classes(ClassIds::new(&classes, device)?));
    }
    let values: Vec<f32> = conditions.iter().flat_map(|c| c.contexts.iter().copied()).collect();
    if values.is_empty() {
        return Ok(Conditioning::none());
    }
    let weights = Tensor::f_from_slice(&values)?.f_view([conditions.len() as i64, -1])?;
    Ok(Conditioning::context(weights.f_to_device(device)?))
}
