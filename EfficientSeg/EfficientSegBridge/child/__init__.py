"""Programs that another Python runs, outside the application; they may import what the application must not."""
