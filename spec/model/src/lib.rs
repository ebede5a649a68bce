//! The access rules as a model: who may take away what from whom, before it is built.
//!
//! A [`menu::Menu`] holds records that could be written. [`arrivals::Arrivals`] is a model for Stateright in which they
//! arrive at replicas in every order; each [`replica::Replica`] judges again only what an arrival touches. In every state
//! each replica is held against [`verdicts::verdicts`], which looks at the set alone, and the wishes of
//! [`wishes::WISHES`] are asked. [`catalogue`] lists what is checked, our rules and others that must be found out. The rules
//! are written down in the README beside this package.
//!
//! ```
//! use access_model::{arrivals::Arrivals, menu::Menu, record::Key};
//!
//! // Two delegates of the root remove each other: neither stands above the other, so both stay.
//! let mut menu = Menu::new("siblings", &[Key::R1], 1);
//! let a = menu.delegate(Key::R1, Key::A).id();
//! let b = menu.delegate(Key::R1, Key::B).id();
//! menu.revoke(Key::A, Key::B, &[]).under(a).id();
//! menu.revoke(Key::B, Key::A, &[]).under(b).id();
//! let found = Arrivals::of(menu).check();
//! assert_eq!((found.states, found.broken.len()), (32, 0));
//! ```

pub mod arrivals;
pub mod catalogue;
pub mod menu;
pub mod record;
pub mod replica;
pub mod rules;
pub mod scenarios;
pub mod verdicts;
mod view;
pub mod wishes;
