#!/usr/bin/env bash
# Trains an experiment on SLURM, over as many nodes as asked for; goes on by itself after preemption and time limits.
#
#   sbatch experiments/slurm/train.sh own_videos                                              # one node of 8 GPUs
#   sbatch --gpus-per-node 4 --ntasks-per-node 4 experiments/slurm/train.sh own_videos        # one of 4
#   sbatch --nodes 8 experiments/slurm/train.sh own_videos --data.loading.global_batch_size 2048
#
# One task per GPU, so the two numbers per node are equal. Options for sbatch on its command line override the lines
# below; account, partition and time belong there. The first argument is the experiment; the others go to `ost fit`.
# Two jobs of one experiment need a --tracking.name each, for they go on with its newest run.
#SBATCH --job-name=ost
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=14
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
# a warning before the time is up, long enough for one optimizer step and one checkpoint
#SBATCH --signal=SIGUSR1@180

set -euo pipefail
experiment=${1:?"usage: sbatch [sbatch options] experiments/slurm/train.sh EXPERIMENT [options of ost fit]"}
shift
tasks=${SLURM_NTASKS_PER_NODE:?"is not set: run this with sbatch, with --ntasks-per-node as many as GPUs a node"}
gpus=${SLURM_GPUS_PER_NODE:-$tasks} # 8, or type:8
if [[ ${gpus##*:} != "$tasks" ]]; then
    echo "$tasks tasks a node, but $gpus GPUs: give sbatch the same --ntasks-per-node and --gpus-per-node" >&2
    exit 2
fi

# --kill-on-bad-exit: when one process dies the others would wait for it until the time is up
# --cpus-per-task: since SLURM 22.05 srun does not take it from sbatch
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "${OST:-ost}" fit --config "$experiment" \
    --trainer.accelerator gpu \
    --trainer.devices "$tasks" \
    --trainer.num_nodes "$SLURM_NNODES" \
    --trainer.strategy "${STRATEGY:-ddp}" \
    --data.loading.workers "$((SLURM_CPUS_PER_TASK - 2))" \
    --ckpt_path last \
    "$@"
