"""The methods: which prompts and targets a student learns."""
