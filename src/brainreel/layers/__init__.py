"""Parts of networks that know only tensors."""
