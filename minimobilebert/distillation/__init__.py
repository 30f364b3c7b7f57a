"""Knowledge transfer and distillation (paper Sections 3.4 to 3.6): losses, their gradients, and the strategies."""
