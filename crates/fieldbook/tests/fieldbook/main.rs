//! The embedding crate, as an app uses it.

#[cfg(test)]
mod app;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod direct;
#[cfg(test)]
mod drafts;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod said;
#[cfg(test)]
mod stepped;
#[cfg(test)]
mod support;
