"""Samples of the trunk in CT: drawn arms, tables, lungs and contrast make few cases go further."""
