//! From a field's name to its place.

use std::collections::HashMap;

/// Names of the columns of a row or of the children of a struct.
#[derive(Debug)]
pub(super) struct Names {
    ordered: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let ordered: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let places = ordered.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        Self { ordered, places }
    }

    /// The place of `name`; `guess` is looked at first.
    pub(super) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        match self.ordered.get(guess) {
            Some(guessed) if guessed == name => Some(guess),
            _ => self.places.get(name).copied(),
        }
    }

    pub(super) fn get(&self, place: usize) -> &str {
        &self.ordered[place]
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len()
    }
}
