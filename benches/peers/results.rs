//! The samples of a run, their medians, and how a row turned out.

use serde_json::{Value, json};

use crate::experiment::{Experiment, Sample};
use crate::goals::{Goal, Row};

/// One sample, or why there is none.
pub(crate) struct Record {
    pub(crate) round: usize,
    pub(crate) experiment: Experiment,
    pub(crate) peer: String,
    pub(crate) outcome: Result<Sample, String>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Results(pub(crate) Vec<Record>);

/// A ratio of medians, and the least and the greatest of the rounds' own ratios.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// Its reference: another program, or another row of the same.
    pub(crate) against: String,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// The outcome of a row for one dbgate.
pub(crate) struct Verdict {
    pub(crate) ratio: Option<Ratio>,
    /// In words.
    pub(crate) goal: String,
    /// `None` where there is no goal, or nothing to hold it against.
    pub(crate) met: Option<bool>,
}

impl Results {
    /// A measure of a program, by round.
    fn values(&self, experiment: Experiment, measure: &str, peer: &str) -> Vec<(usize, f64)> {
        let of_it = |r: &&Record| r.experiment == experiment && r.peer == peer;
        let value = |r: &Record| Some((r.round, *r.outcome.as_ref().ok()?.get(measure)?));
        self.0.iter().filter(of_it).filter_map(value).collect()
    }

    /// The median of a measure over the rounds.
    pub(crate) fn median(&self, experiment: Experiment, measure: &str, peer: &str) -> Option<f64> {
        let values = self.values(experiment, measure, peer);
        median(values.into_iter().map(|(_, value)| value).collect())
    }

    /// A program against another, or against itself in another experiment.
    pub(crate) fn ratio(
        &self,
        measure: &str,
        (experiment, peer): (Experiment, &str),
        (base, other): (Experiment, &str),
    ) -> Option<Ratio> {
        let value = self.median(experiment, measure, peer)? / self.median(base, measure, other)?;
        let others = self.values(base, measure, other);
        let of_rounds = self
            .values(experiment, measure, peer)
            .into_iter()
            .filter_map(|(round, value)| {
                let (_, other) = others.iter().find(|(r, _)| *r == round)?;
                Some(value / other)
            });
        let of_rounds: Vec<f64> = of_rounds.collect();
        Some(Ratio {
            against: if peer == other {
                base.to_string()
            } else {
                other.to_owned()
            },
            value,
            least: of_rounds.iter().copied().reduce(f64::min)?,
            most: of_rounds.iter().copied().reduce(f64::max)?,
        })
    }

    /// The outcome of a row for `gateway`, among these others.
    pub(crate) fn judge(&self, row: &Row, gateway: &str, others: &[String]) -> Verdict {
        let Row {
            experiment,
            measure,
            ..
        } = *row;
        let own = self.median(experiment, measure, gateway);
        let below = |limit: f64| own.map(|own| own < limit);
        let best = || {
            let medians = others
                .iter()
                .filter_map(|o| Some((o, self.median(experiment, measure, o)?)));
            let (best, _) = medians.min_by(|a, b| a.1.total_cmp(&b.1))?;
            self.ratio(measure, (experiment, gateway), (experiment, best))
        };
        let within = |ratio: &Option<Ratio>, most: f64| ratio.as_ref().map(|r| r.value <= most);
        let unit = row.unit;
        let (ratio, goal, met) = match row.goal {
            Goal::Best(most) => {
                let ratio = best();
                let met = within(&ratio, most);
                (ratio, format!("{most}"), met)
            }
            Goal::BestBelow(most, limit) => {
                let ratio = best();
                let met = within(&ratio, most).and_then(|met| Some(met && below(limit)?));
                (ratio, format!("{most}, under {limit} {unit}"), met)
            }
            Goal::Own(base, most) => {
                let ratio = self.ratio(measure, (experiment, gateway), (base, gateway));
                let met = within(&ratio, most);
                (ratio, format!("{most} of {base}"), met)
            }
            Goal::Below(limit) => (None, format!("under {limit} {unit}"), below(limit)),
            Goal::Told => (None, String::new(), None),
        };
        Verdict { ratio, goal, met }
    }

    /// Every sample as it was taken.
    pub(crate) fn json(&self) -> Vec<Value> {
        let one = |r: &Record| {
            let mut value = json!({
                "round": r.round,
                "experiment": r.experiment.to_string(),
                "program": r.peer,
            });
            match &r.outcome {
                Ok(sample) => value["measures"] = json!(sample),
                Err(error) => value["failed"] = json!(error),
            }
            value
        };
        self.0.iter().map(one).collect()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[values.len() / 2 - 1], upper))
}
