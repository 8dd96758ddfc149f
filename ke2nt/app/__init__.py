"""The app in the browser: faces under words that can be edited, prompt sets on a dataset."""
