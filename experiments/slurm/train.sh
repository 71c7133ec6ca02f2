#!/usr/bin/env bash
# Trains an experiment on SLURM, over as many nodes as asked for; goes on by itself after preemption and time limits.
#
#   sbatch --nodes 1 --gpus-per-node 8 --ntasks-per-node 8 experiments/slurm/train.sh own_videos
#   sbatch --nodes 8 --gpus-per-node 8 --ntasks-per-node 8 experiments/slurm/train.sh own_videos --data.loading.global_batch_size 2048
#
# One task a GPU. The first argument is the experiment; the others go to `ost fit`. Account, partition and time belong on
# the command line of sbatch. Two jobs of one experiment need a --tracking.name each, for they go on with its newest run.
#SBATCH --job-name=ost
#SBATCH --cpus-per-task=14
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
# a warning before the time is up, long enough for one optimiser step and one checkpoint
#SBATCH --signal=SIGUSR1@180

set -euo pipefail
experiment=${1:?"usage: sbatch [sbatch options] experiments/slurm/train.sh EXPERIMENT [options of ost fit]"}
shift

# --kill-on-bad-exit: when one process dies the others would wait for it until the time is up
srun --kill-on-bad-exit=1 "${OST:-ost}" fit --config "$experiment" \
    --trainer.accelerator gpu \
    --trainer.devices "$SLURM_NTASKS_PER_NODE" \
    --trainer.num_nodes "$SLURM_NNODES" \
    --trainer.strategy "${STRATEGY:-ddp}" \
    --data.loading.workers "$((SLURM_CPUS_PER_TASK - 2))" \
    --ckpt_path last \
    "$@"
