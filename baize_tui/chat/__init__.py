"""A turn from question to saved answer: prompt formats, context budget, branches."""
