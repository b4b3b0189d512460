//! The table that a run prints.

use comfy_table::{CellAlignment, Table, presets};

/// One figure.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    /// What cannot be beaten, measured in the same run.
    pub(crate) floor: Option<String>,
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<Goal>,
}

/// At most so much.
pub(crate) struct Goal {
    pub(crate) text: &'static str,
    pub(crate) met: bool,
}

impl Row {
    /// A figure alone.
    pub(crate) fn new(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            floor: None,
            ratio: None,
            goal: None,
        }
    }

    /// With its floor.
    pub(crate) fn over(mut self, floor: impl Into<String>, ratio: f64) -> Self {
        self.floor = Some(floor.into());
        self.ratio = Some(ratio);
        self
    }

    /// With its goal.
    pub(crate) fn goal(mut self, text: &'static str, met: bool) -> Self {
        self.goal = Some(Goal { text, met });
        self
    }
}

/// All figures, for a terminal and for Markdown.
pub(crate) fn of(rows: Vec<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "measured", "floor", "ratio", "goal", "met"]);
    for row in rows {
        let (goal, met) = row.goal.map_or(("", ""), |goal| {
            (goal.text, if goal.met { "yes" } else { "NO" })
        });
        table.add_row([
            row.what,
            row.measured,
            row.floor.unwrap_or_default(),
            row.ratio
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            goal.into(),
            met.into(),
        ]);
    }
    for column in [1, 2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
