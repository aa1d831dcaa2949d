"""The model port on the `openai` client: Responses and Chat Completions."""
