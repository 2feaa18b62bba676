"""What is out there, and what we asked of it: sites, devices, power links, commands."""
