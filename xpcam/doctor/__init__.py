"""What is wrong with this machine, and how to mend it: facts -> findings -> remedies."""
