//! What a store promises: order, durability, cursors, copies noticed, damage found, power loss survived.

#[cfg(test)]
mod append;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod power;
#[cfg(test)]
mod support;
#[cfg(test)]
mod writer;
