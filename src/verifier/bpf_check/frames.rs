//! The call stack of a state. States share frames, and frames their stacks, until one changes its own.

use std::ops::{Deref, DerefMut, Index, IndexMut};
use std::rc::Rc;

use super::reg::Slot;
use super::state::Frame;

/// The stack of a frame; the first slot is the one below r10.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stack(Rc<Vec<Slot>>);

impl Deref for Stack {
    type Target = Vec<Slot>;

    fn deref(&self) -> &Vec<Slot> {
        &self.0
    }
}

impl DerefMut for Stack {
    fn deref_mut(&mut self) -> &mut Vec<Slot> {
        Rc::make_mut(&mut self.0)
    }
}

impl<'s> IntoIterator for &'s Stack {
    type Item = &'s Slot;
    type IntoIter = std::slice::Iter<'s, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'s> IntoIterator for &'s mut Stack {
    type Item = &'s mut Slot;
    type IntoIter = std::slice::IterMut<'s, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        Rc::make_mut(&mut self.0).iter_mut()
    }
}

/// Frames, the outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frames(Vec<Rc<Frame>>);

impl Frames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them.
    pub fn get(&self, number: usize) -> Option<&Frame> {
        self.0.get(number).map(Rc::as_ref)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Frame> {
        self.0.get_mut(number).map(Rc::make_mut)
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> + ExactSizeIterator {
        self.0.iter().map(Rc::as_ref)
    }

    /// One more is called.
    pub fn push(&mut self, frame: Frame) {
        self.0.push(Rc::new(frame));
    }

    /// The innermost one returns.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// None is left.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl From<Frame> for Frames {
    fn from(frame: Frame) -> Self {
        Self(vec![Rc::new(frame)])
    }
}

impl Index<usize> for Frames {
    type Output = Frame;

    fn index(&self, number: usize) -> &Frame {
        &self.0[number]
    }
}

impl IndexMut<usize> for Frames {
    fn index_mut(&mut self, number: usize) -> &mut Frame {
        Rc::make_mut(&mut self.0[number])
    }
}

impl<'f> IntoIterator for &'f Frames {
    type Item = &'f Frame;
    type IntoIter = std::iter::Map<std::slice::Iter<'f, Rc<Frame>>, fn(&'f Rc<Frame>) -> &'f Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(Rc::as_ref)
    }
}

impl<'f> IntoIterator for &'f mut Frames {
    type Item = &'f mut Frame;
    type IntoIter =
        std::iter::Map<std::slice::IterMut<'f, Rc<Frame>>, fn(&'f mut Rc<Frame>) -> &'f mut Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(Rc::make_mut)
    }
}
