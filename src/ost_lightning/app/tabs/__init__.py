"""The tabs of the app's page: what is shown, and what each control calls."""
