//! Time of a forward pass.

use inkdrop_nn::Conditioning;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::Result;
use crate::job::{Job, named};
use crate::timing::measure;
use crate::{network, sampling};

/// Seconds per pass.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    let (x, t, conditioning) = inputs(job)?;
    let times = vec![t.f_double_value(&[0])?];
    let network = network::prepared(network::build(job)?.as_ref(), times)?;
    let _guard = no_grad_guard();
    let pass = || -> Result<Tensor> { Ok(network.forward(&x, &t, &conditioning)?) };
    job.write_outputs(|| Ok(vec![("out", pass()?)]))?;
    measure(job, || pass().map(drop))
}

/// x, t and conditioning: from the file of inputs, or random. All images share one t.
fn inputs(job: &Job) -> Result<(Tensor, Tensor, Conditioning)> {
    let (x, conditioning) = sampling::start(job)?;
    let t = match job.inputs()? {
        Some(inputs) => named(&inputs, "t")?,
        None => Tensor::f_full([job.batch], 0.5, (Kind::Float, Device::Cpu))?,
    };
    Ok((x, t, conditioning))
}
