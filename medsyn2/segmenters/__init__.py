"""Tools that find structures in a CT, behind one Protocol."""
