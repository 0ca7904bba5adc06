"""What a run leaves behind: records, folders, checkpoints, logs, plots and videos. Host only."""
