//! Moving averages of the weights, which sample better than the weights themselves.

mod rule;

use inkdrop_checkpoint::{Weights, check};
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::lerp_all;
use tch::{Kind, Tensor, no_grad_guard};

pub use rule::EmaRule;

use crate::{Master, TrainError};

/// Averages by several rules at once.
///
/// Running statistics are averaged like weights, counters are copied: so each average is a whole
/// network. That of the first rule lies in a network of its own, ready to sample from; the others
/// are tensors.
pub struct Averages {
    network: Box<dyn TrainableNetwork>,
    averages: Vec<Average>,
}

struct Average {
    rule: EmaRule,
    /// One for each tensor of the network, in its order.
    tensors: Vec<Tensor>,
}

impl Averages {
    /// Averages that start as the weights; that of the first rule is kept in `network`.
    ///
    /// # Errors
    /// There is no rule, or one stands there twice; libtorch failed.
    ///
    /// # Panics
    /// The network was built from another config.
    pub fn new(
        network: Box<dyn TrainableNetwork>,
        master: &Master,
        rules: &[EmaRule],
    ) -> Result<Self, TrainError> {
        EmaRule::check_all(rules)?;
        let _guard = no_grad_guard();
        let mut averages = Vec::new();
        for (number, &rule) in rules.iter().enumerate() {
            let mut tensors = Vec::new();
            for (param, live) in network.params().iter().zip(master.iter()) {
                assert_eq!(param.name, live.name, "the average is kept in another network");
                let mut tensor = match number {
                    0 => param.tensor.shallow_clone(),
                    _ => param.tensor.f_zeros_like()?,
                };
                tensor.f_copy_(live.value())?;
                tensors.push(tensor);
            }
            averages.push(Average { rule, tensors });
        }
        Ok(Self { network, averages })
    }

    /// The network with the averages of the first rule.
    pub fn network(&self) -> &dyn TrainableNetwork {
        self.network.as_ref()
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = EmaRule> {
        self.averages.iter().map(|average| average.rule)
    }

    /// Takes in the weights after step `step`, counted from 0.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn update(&mut self, master: &Master, step: usize) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for Average { rule, tensors } in &mut self.averages {
            let taken = 1.0 - rule.kept(step);
            let mut moving = Vec::new();
            for (tensor, live) in tensors.iter_mut().zip(master.iter()) {
                if taken == 1.0 || tensor.kind() == Kind::Int64 {
                    tensor.f_copy_(live.value())?;
                } else {
                    moving.push((&*tensor, live.value()));
                }
            }
            lerp_all(&moving, taken)?;
        }
        Ok(())
    }

    /// The weights that a rule has averaged, by the network's names.
    pub fn weights(&self, rule: EmaRule) -> Option<Weights> {
        let average = self.averages.iter().find(|average| average.rule == rule)?;
        let mut weights = Weights::default();
        for (param, tensor) in self.network.params().iter().zip(&average.tensors) {
            weights.insert(param.name.clone(), tensor.shallow_clone());
        }
        Some(weights)
    }

    /// Sets the average of a rule, or all of them where none is named.
    ///
    /// # Errors
    /// The weights are not those of the network.
    pub fn set(&mut self, rule: Option<EmaRule>, weights: &Weights) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        check(self.network.params(), weights)?;
        let meant = |average: &&mut Average| rule.is_none_or(|rule| rule == average.rule);
        for average in self.averages.iter_mut().filter(meant) {
            for (param, tensor) in self.network.params().iter().zip(&mut average.tensors) {
                if let Some(given) = weights.get(&param.name) {
                    tensor.f_copy_(given)?;
                }
            }
        }
        Ok(())
    }
}
