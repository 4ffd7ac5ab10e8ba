//! Optimizer state sharding over processes: ZeRO stage 1 (Rajbhandari et al. 2020).

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Tensor;

use super::{Adam, Moments};
use crate::TrainError;
use crate::data_parallel::Processes;

impl Adam {
    /// Drops the moments of all weights that another process updates. Each process keeps about
    /// 1/N of them.
    pub(crate) fn shard(&mut self, processes: &Processes) {
        let owners = self.owners(processes.count());
        for (state, owner) in self.states.iter_mut().zip(owners) {
            if owner != processes.rank() {
                state.moments = None;
            }
        }
        self.sharded = true;
    }

    /// True if this process has the moments of its share of the weights only.
    pub(crate) fn is_sharded(&self) -> bool {
        self.sharded
    }

    /// Gives weights without moments zero moments, for a state that is about to be loaded.
    pub(crate) fn make_whole(&mut self) -> Result<(), TrainError> {
        for state in self.states.iter_mut().filter(|state| state.moments.is_none()) {
            state.moments = Some(Moments::zeros(&state.parameter)?);
        }
        self.sharded = false;
        Ok(())
    }

    /// Sends each weight from the process that updated it to all others.
    pub(crate) fn share_weights(&self, processes: &Processes) -> Result<(), TrainError> {
        let owners = self.owners(processes.count());
        for root in 0..processes.count() {
            let of_root = self.states.iter().zip(&owners).filter(|(_, owner)| **owner == root);
            let weights: Vec<&Tensor> = of_root.map(|(state, _)| &state.parameter).collect();
            for part in parts(&weights) {
                processes.broadcast_from(part, root)?;
            }
        }
        Ok(())
    }

    /// As [`Adam::save`] with the moments of all processes; all of them call it together.
    ///
    /// - weights: `None` to send the moments of this process only
    pub(crate) fn gather(
        &self,
        processes: &Processes,
        mut weights: Option<&mut StateDict>,
    ) -> Result<(), TrainError> {
        for (state, owner) in self.states.iter().zip(self.owners(processes.count())) {
            // One weight at a time: most processes keep none of them.
            let received = match &state.moments {
                Some(_) => None,
                None => Some(Moments::zeros(&state.parameter)?),
            };
            let Some(Moments { mean, square }) = received.as_ref().or(state.moments.as_ref())
            else {
                continue;
            };
            processes.broadcast_from(&[mean, square], owner)?;
            if let Some(weights) = &mut weights {
                weights.insert(format!("adam.mean.{}", state.name), mean.shallow_clone());
                weights.insert(format!("adam.square.{}", state.name), square.shallow_clone());
            }
        }
        match weights {
            Some(weights) => Ok(weights.set_metadata("adam_steps", &self.steps)?),
            None => Ok(()),
        }
    }

    /// The process that updates each weight: the largest weights first, each to the process with the
    /// fewest numbers so far. Every process finds the same.
    fn owners(&self, processes: usize) -> Vec<usize> {
        let sizes: Vec<usize> = self.states.iter().map(|state| state.parameter.numel()).collect();
        owners(&sizes, processes)
    }
}

/// Tensors are sent in parts of about this many numbers, which are copied into one buffer first.
const PART: usize = 4 << 20;

/// Consecutive tensors of at most [`PART`] numbers together, or one larger tensor.
fn parts<'a, 'b>(mut tensors: &'a [&'b Tensor]) -> Vec<&'a [&'b Tensor]> {
    let mut parts = Vec::new();
    while !tensors.is_empty() {
        let mut numbers = 0;
        let fits = |tensor: &&&Tensor| {
            numbers += tensor.numel();
            numbers <= PART
        };
        let (part, rest) = tensors.split_at(tensors.iter().take_while(fits).count().max(1));
        parts.push(part);
        tensors = rest;
    }
    parts
}

fn owners(sizes: &[usize], processes: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&weight| std::cmp::Reverse(sizes[weight])); // stable
    let (mut loads, mut owners) = (vec![0; processes], vec![0; sizes.len()]);
    for weight in order {
        let least = (0..processes).min_by_key(|&process| loads[process]).unwrap_or(0);
        loads[least] += sizes[weight];
        owners[weight] = least;
    }
    owners
}

#[cfg(test)]
mod tests {
    use inkdrop_torch::tch::{Device, Kind, Tensor};

    use super::{PART, owners, parts};

    #[test]
    fn parts_have_all_tensors_in_order_and_a_limit() {
        let of = |sizes: &[usize]| -> Vec<Vec<usize>> {
            let tensor = |&size: &usize| Tensor::zeros([size as i64], (Kind::Uint8, Device::Cpu));
            let tensors: Vec<Tensor> = sizes.iter().map(tensor).collect();
            let refs: Vec<&Tensor> = tensors.iter().collect();
            let numbers = |part: &&[&Tensor]| part.iter().map(|tensor| tensor.numel()).collect();
            parts(&refs).iter().map(numbers).collect()
        };
        let small = PART / 2;
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[small, small, 1]), [vec![small, small], vec![1]]);
        assert_eq!(of(&[PART + 1, 1, PART]), [vec![PART + 1], vec![1], vec![PART]]);
    }

    #[test]
    fn shares_are_nearly_equal_and_each_weight_has_one_owner() {
        assert_eq!(owners(&[5, 1, 9, 4], 2), [1, 0, 0, 1]);
        assert_eq!(owners(&[3, 3, 3], 3), [0, 1, 2]);
        assert_eq!(owners(&[7], 2), [0]);
        assert_eq!(owners(&[], 2), [0; 0]);
        let sizes: Vec<usize> = (1..200).map(|size| size * 37 % 101 + 1).collect();
        let all = owners(&sizes, 7);
        let load = |process| {
            let of = all.iter().zip(&sizes).filter(|(owner, _)| **owner == process);
            of.map(|(_, size)| size).sum::<usize>()
        };
        let loads: Vec<usize> = (0..7).map(load).collect();
        let (least, most) = (loads.iter().min(), loads.iter().max());
        assert!(most <= least.map(|least| least + 10).as_ref(), "{loads:?}");
    }
}
