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
        let first = ConvConfig::patches(self.channels, self.features, self.patch);
        match self.bottleneck {
            None => model.conv(&first),
            Some(outputs) => {
                model.conv(&ConvConfig { outputs, bias: false, ..first });
                model.conv(&ConvConfig::same(outputs, self.features, 1));
            }
        }
        stages.insert(0, self.finish("x_embedder", "patches", &model));
        for number in 0..self.depth {
            self.block(&mut model, number);
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
        let parameters = (self.classes? + 1 + self.in_context_len) * self.features;
        let cost = Cost { parameters, ..Cost::default() };
        Some(stage("y_embedder", "table".to_string(), vec![self.features], cost))
    }

    /// One block over the tokens of the image and those of the class.
    fn block(&self, image: &mut CostModel, number: i64) {
        let tokens = image.values(1).saturating_add(self.context_tokens(number));
        let mut model = CostModel::new(self.features, vec![tokens]);
        self.layers(&mut model);
        image.cost = model.cost;
    }

    fn layers(&self, model: &mut CostModel) {
        let (width, hidden) = (self.features, self.hidden());
        let (x, tokens) = (model.values(width), model.values(1));
        model.linear(width, 6 * width);
        self.norm(model);
        linear(model, width, 3 * width);
        if self.qk_norm {
            model.add(2 * (width / self.heads), 0, x.saturating_mul(2));
        }
        if self.rotary {
            model.add(0, 0, x.saturating_mul(2));
        }
        // q·kᵀ and the attention weights times v.
        model.add(0, x.saturating_mul(tokens).saturating_mul(2), x.saturating_mul(4));
        linear(model, width, width);
        model.add(0, 0, x); // the gate
        self.norm(model);
        let halves = if self.swiglu { 2 } else { 1 };
        linear(model, width, halves * hidden);
        model.add(0, 0, model.values((2 * halves - 1) * hidden)); // the activation, and the gate's factors
        linear(model, hidden, width);
        model.add(0, 0, x);
        let wide = (4 * width).max((halves + 1) * hidden);
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
        self.norm(model);
        linear(model, self.features, values);
        model.alive(model.values(self.features).saturating_mul(2));
    }

    /// A norm keeps its input, and its output for the modulation.
    fn norm(&self, model: &mut CostModel) {
        let factors = if self.rms_norm { self.features } else { 0 };
        model.add(factors, 0, model.values(self.features).saturating_mul(2));
    }
}

/// A fully connected layer on every token.
fn linear(model: &mut CostModel, inputs: i64, outputs: i64) {
    let weights = inputs.saturating_mul(outputs);
    let products = weights.saturating_mul(model.values(1));
    model.add(weights.saturating_add(outputs), products, model.values(inputs));
}
