"""The paper's networks: U-Net, encoder-decoder, PatchGAN, and how they are initialised."""
