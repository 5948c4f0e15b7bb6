"""From the bytes of an image file to display-ready pixels. Independent of torch and of HTTP."""
