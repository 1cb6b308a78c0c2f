"""Gradio's default theme in quiet colours."""

import gradio as gr

THEME = gr.themes.Default(primary_hue="indigo", neutral_hue="slate", radius_size="md").set(
    # WCAG asks for more contrast than the theme's own colours have, on buttons and for explanations.
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_cancel_background_fill="#dc2626",
    button_cancel_background_fill_hover="#b91c1c",
    block_info_text_color="*neutral_500",
    body_text_color_subdued="*neutral_500",
    input_placeholder_color="*neutral_500",
)
