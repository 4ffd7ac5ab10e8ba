//! The plan of DiT.

use inkdrop_nn::ConvConfig;

use super::DitConfig;
use crate::ConfigError;
use crate::plan::{Cost, CostModel, Plan, Stage, stage};
use crate::size::product;

impl DitConfig {
    /// The cost of the network, for an image of this size.
    pub(crate) fn plan_at(&self, size: &[i64]) -> Result<Plan, ConfigError> {
        self.check()?;
        if size != [self.size; 2] {
            let problem = format!("of values cannot be planned: expected {0}x{0}", self.size);
            return Err(ConfigError::field("size", product(size), problem));
        }
        let mut stages = vec![self.embedding_stage()];
        stages.extend(self.class_stage());
        let mut model = CostModel::new(self.channels, size.to_vec());
        model.conv(&ConvConfig::patches(self.channels, self.features, self.patch));
        stages.insert(0, self.finish("x_embedder", "patches", &model));
        for number in 0..self.depth {
            self.block(&mut model);
            stages.push(self.finish(&format!("blocks.{number}"), "attention · mlp", &model));
        }
        self.last(&mut model);
        let output = [vec![self.outputs], size.to_vec()].concat();
        stages.push(stage("final_layer", "linear".to_string(), output, model.cost));
        Ok(Plan::new(stages))
    }

    fn finish(&self, name: &str, layers: &str, model: &CostModel) -> Stage {
        let output = [vec![self.features], model.size.clone()].concat();
        stage(name, layers.to_string(), output, model.cost)
    }

    fn embedding_stage(&self) -> Stage {
        let mut model = CostModel::new(256, Vec::new());
        model.linear(256, self.features);
        model.linear(self.features, self.features);
        stage("t_embedder", "linear · linear".to_string(), vec![self.features], model.cost)
    }

    fn class_stage(&self) -> Option<Stage> {
        let parameters = (self.classes? + 1) * self.features;
        let cost = Cost { parameters, ..Cost::default() };
        Some(stage("y_embedder", "table".to_string(), vec![self.features], cost))
    }

    /// One block over the tokens.
    fn block(&self, model: &mut CostModel) {
        let (width, hidden) = (self.features, self.hidden());
        model.cost = Cost::default();
        let (x, tokens) = (model.values(width), model.values(1));
        model.linear(width, 6 * width);
        norm(model, width);
        linear(model, width, 3 * width);
        // q·kᵀ and the attention weights times v.
        model.add(0, x.saturating_mul(tokens).saturating_mul(2), x.saturating_mul(4));
        linear(model, width, width);
        model.add(0, 0, x); // the gate
        norm(model, width);
        linear(model, width, hidden);
        model.add(0, 0, model.values(hidden)); // the activation
        linear(model, hidden, width);
        model.add(0, 0, x);
        let wide = (4 * width).max(2 * hidden);
        model.alive(x.saturating_add(model.values(wide)));
        if self.checkpoint {
            model.cost.again = x.saturating_add(model.cost.kept);
            model.cost.kept = x;
        }
    }

    fn last(&self, model: &mut CostModel) {
        let values = self.patch * self.patch * self.outputs;
        model.cost = Cost::default();
        model.linear(self.features, 2 * self.features);
        norm(model, self.features);
        linear(model, self.features, values);
        model.alive(model.values(self.features).saturating_mul(2));
    }
}

/// A layer norm without parameters keeps its input, and its output for the modulation.
fn norm(model: &mut CostModel, width: i64) {
    model.add(0, 0, model.values(width).saturating_mul(2));
}

/// A fully connected layer on every token.
fn linear(model: &mut CostModel, inputs: i64, outputs: i64) {
    let weights = inputs.saturating_mul(outputs);
    let products = weights.saturating_mul(model.values(1));
    model.add(weights.saturating_add(outputs), products, model.values(inputs));
}
