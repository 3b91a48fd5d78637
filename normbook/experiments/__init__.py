"""The measurements that take a training run or several processes (they need torch)."""
