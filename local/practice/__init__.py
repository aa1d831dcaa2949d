"""A practice model: it speaks both OpenAI APIs and answers from what it was given. Not an AI."""
