//! The binary as users run it: arguments in, streams, files and exit codes out.

#[cfg(test)]
mod ablate;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod data;
#[cfg(test)]
mod embed;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod finetune;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod init;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod knn;
#[cfg(test)]
mod masks;
#[cfg(test)]
mod objectives;
#[cfg(test)]
mod pretrain;
#[cfg(test)]
mod pretrain_errors;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod rcdm;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod report;
#[cfg(test)]
mod resumed;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod serve;
#[cfg(test)]
#[cfg(unix)]
mod slurm;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tensorboard;
#[cfg(test)]
mod visualize;
#[cfg(test)]
mod weights;
