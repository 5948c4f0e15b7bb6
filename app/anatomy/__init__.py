"""Where the evidence lies in the body: lungs and heart, the zones of the chest, the size of the heart."""
