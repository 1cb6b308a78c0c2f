"""Gradio's default theme in quiet colours."""

import gradio as gr

# Hues whose middle shades are too light to be read on white, or to have white words on them.
LIGHT = {"orange", "amber", "yellow", "lime", "green", "emerald", "teal", "cyan", "sky"}
# Gradio's files of weight 600 have no Latin letters, so that its headings fall back to another font; those of 700 have.
WEIGHTS = (400, 700)
FONT = (gr.themes.LocalFont("Source Sans Pro", WEIGHTS), "ui-sans-serif", "system-ui", "sans-serif")
FONT_MONO = (gr.themes.LocalFont("IBM Plex Mono", WEIGHTS), "ui-monospace", "Consolas", "monospace")


def theme(accent: str) -> gr.themes.Base:
    """The theme with this hue of Gradio's."""
    shade, darker = (700, 800) if accent in LIGHT else (600, 700)
    made = gr.themes.Default(
        primary_hue=accent, neutral_hue="slate", radius_size="md", font=FONT, font_mono=FONT_MONO
    ).set(
        # WCAG asks for more contrast than the theme's own colours have, on buttons and for explanations.
        button_primary_background_fill=f"*primary_{shade}",
        button_primary_background_fill_hover=f"*primary_{darker}",
        button_cancel_background_fill="#dc2626",
        button_cancel_background_fill_hover="#b91c1c",
        block_info_text_color="*neutral_500",
        body_text_color_subdued="*neutral_500",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_500",
    )
    return made.set(color_accent="*primary_700") if accent in LIGHT else made
