"""Strings of other packages that people of REMOSA can read and that come without Russian.

django-unfold ships no translations at all, others lag behind their own sources. Listed here, these
strings reach our catalogue through ``makemessages``, and our catalogue answers before theirs. Nothing
imports this module; tests/test_translations.py finds what an update of a package adds or drops.
"""

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

AXES = (
    _("Locked Out"),
    _("Clean up expired attempts"),
    _("Cleaned up {count} expired access attempts."),
    _("Not set"),
    _("Attempt Remaining"),
    _("Access Attempt"),
    _("Expires At"),
    _("The time when access attempt expires and is no longer valid."),
    _("access attempt expiration"),
    _("access attempt expirations"),
    _("Session key hash (sha256)"),
)

DJANGO_FILTERS = (
    _("is null"),
    _("Select a lookup."),
)

DJANGO_Q = (_("Q Cluster %(name)s failed to start. Sentinel exited with exit code %(exitcode)s."),)

DRF_SPECTACULAR = (
    _("No response body"),
    _("Unspecified response body"),
    _('Token-based authentication with required prefix "%s"'),
    _(
        "\n"
        "    OpenApi3 schema for this API. Format can be selected via content negotiation.\n"
        "\n"
        "    - YAML: application/vnd.oai.openapi\n"
        "    - JSON: application/vnd.oai.openapi+json\n"
        "    "
    ),
)

GUARDIAN = (
    _("User identification"),
    _("Enter a value compatible with User.USERNAME_FIELD"),
)

REST_FRAMEWORK = (
    _("Invalid basic header. No credentials provided."),
    _("Invalid basic header. Credentials string should not contain spaces."),
    _("Invalid basic header. Credentials not correctly base64 encoded."),
    _("Invalid token header. No credentials provided."),
    _("Invalid token header. Token string should not contain spaces."),
    _("Invalid token header. Token string should not contain invalid characters."),
    _("Invalid input."),
    _("Malformed request."),
    _("Incorrect authentication credentials."),
    _("Authentication credentials were not provided."),
    _('Method "{method}" not allowed.'),
    _("Could not satisfy the request Accept header."),
    _('Unsupported media type "{media_type}" in request.'),
    _("Request was throttled."),
    _("Expected available in {wait} second."),
    _("Expected available in {wait} seconds."),
    _("Must be a valid boolean."),
    _("Not a valid string."),
    _("This value does not match the required pattern."),
    _('Enter a valid "slug" consisting of Unicode letters, numbers, underscores, or hyphens.'),
    _("Must be a valid UUID."),
    _("String value too large."),
    _("A valid biginteger is required."),
    _("A valid number is required."),
    _("Integer value too large to convert to float"),
    _("Datetime has wrong format. Use one of these formats instead: {format}."),
    _("Expected a datetime but got a date."),
    _('Invalid datetime for the timezone "{timezone}".'),
    _("Datetime value out of range."),
    _("Date has wrong format. Use one of these formats instead: {format}."),
    _("Expected a date but got a datetime."),
    _("Time has wrong format. Use one of these formats instead: {format}."),
    _("Duration has wrong format. Use one of these formats instead: {format}."),
    _("More than {count} items..."),
    _('Expected a list of items but got type "{input_type}".'),
    _("This selection may not be empty."),
    _('"{input}" is not a valid path choice.'),
    _("The submitted data was not a file. Check the encoding type on the form."),
    _("No filename could be determined."),
    _("This list may not be empty."),
    _("Ensure this field has at least {min_length} elements."),
    _("Ensure this field has no more than {max_length} elements."),
    _('Expected a dictionary of items but got type "{input_type}".'),
    _("This dictionary may not be empty."),
    _("A search term."),
    _("Which field to use when ordering the results."),
    _("A page number within the paginated result set."),
    _("Number of results to return per page."),
    _("Invalid page."),
    _("The initial index from which to return the results."),
    _("The pagination cursor value."),
    _("Invalid cursor"),
    _('Invalid pk "{pk_value}" - object does not exist.'),
    _("Incorrect type. Expected pk value, received {data_type}."),
    _("Invalid hyperlink - No URL match."),
    _("Invalid hyperlink - Incorrect URL match."),
    _("Invalid hyperlink - Object does not exist."),
    _("Incorrect type. Expected URL string, received {data_type}."),
    _("Object with {slug_name}={value} does not exist."),
    _("unique integer value"),
    _("UUID string"),
    _("unique value"),
    _("A {value_type} identifying this {name}."),
    _("Invalid data. Expected a dictionary, but got {datatype}."),
    _("Extra Actions"),
    _("navbar"),
    _("content"),
    _("request form"),
    _("main content"),
    _("request info"),
    _("response info"),
    _("No items to select."),
    _("The fields {field_names} must make a unique set."),
    _("Surrogate characters are not allowed: U+{code_point:X}."),
    _('This field must be unique for the "{date_field}" date.'),
    _('This field must be unique for the "{date_field}" month.'),
    _('This field must be unique for the "{date_field}" year.'),
    _('Invalid version in "Accept" header.'),
    _("Invalid version in URL path."),
    _("Invalid version in URL path. Does not match any version namespace."),
    _("Invalid version in hostname."),
    _("Invalid version in query parameter."),
)

UNFOLD = (
    _("Select record"),
    _("Select action"),
    _("Value"),
    _("From"),
    _("To"),
    _("Date from"),
    _("Date to"),
    _("Not enough data."),
    _("Add new item"),
    _("Paragraph"),
    _("Underlined"),
    _("Bold"),
    _("Italic"),
    _("Strike"),
    _("Link"),
    _("Heading"),
    _("Quote"),
    _("Unordered list"),
    _("Ordered list"),
    _("Indent increase"),
    _("Indent decrease"),
    _("Undo"),
    _("Redo"),
    _("Enter an URL"),
    _("Unlink"),
    _("Code"),
    _("Select action to run"),
    _(
        "Raw passwords are not stored, so there is no way to see this user’s password, but "
        'you can change the password using <a href="{}" class="text-primary-600 '
        'dark:text-primary-500">this form</a>.'
    ),
    _("Select value"),
    _("Dataset not found. No action performed."),
    _("You can not create nested object without parent"),
    _("Run"),
    _("After you've created a user, you’ll be able to edit more user options."),
    _("Expand row"),
    _("Welcome back to"),
    _("Forgotten your password or username?"),
    _("Type to search"),
    _("You have been successfully logged out from the administration"),
    _("No data"),
    _("More actions"),
    _("All applications"),
    _("True"),
    _("False"),
    _("Apply Filters"),
    _("Select all rows"),
    _("Recent searches"),
    _("No recent searches"),
    _("No results matching your query"),
    _("Loading more results..."),
    _("Cancel"),
    _("Record picture"),
    _("This item will be deleted."),
    _("Click to cancel"),
    _("No results found"),
    _("This page yielded into no results. Create a new item or reset your filters."),
    _("Reset filters"),
    _("Image preview"),
    _("Click to download"),
    _("Go back"),
    _("Previous"),
    _("Next"),
    _("Search apps and models..."),
    _("General"),
    _("Light"),
    _("Dark"),
    _("System"),
    _("Return to site"),
    _("Choose file to upload"),
    _("Toggle password visibility"),
    _("Add row"),
    _("Date"),
    _("Select currency"),
)

COUNTED = (
    ngettext_lazy(
        "\n                Found %(counter)s result in %(time)s seconds\n            ",
        "\n                Found %(counter)s results in %(time)s seconds\n            ",
        "counter",
    ),
)

# Django has these in Russian, but speaks of every object in the masculine ("площадка был добавлен").
DJANGO_ADMIN = (
    _("Add %s"),
    _("Add %(name)s"),
    _("Change %s"),
    _("View %s"),
    _("Select %s"),
    _("Select %s to change"),
    _("Select %s to view"),
    _("Added {name} “{object}”."),
    _("Changed {fields} for {name} “{object}”."),
    _("Deleted {name} “{object}”."),
    _("The {name} “{obj}” was added successfully."),
    _("The {name} “{obj}” was added successfully. You may add another {name} below."),
    _("The {name} “{obj}” was changed successfully."),
    _("The {name} “{obj}” was changed successfully. You may edit it again below."),
    _("The {name} “{obj}” was changed successfully. You may add another {name} below."),
    _("The %(name)s “%(obj)s” was deleted successfully."),
    _("%(name)s with ID “%(key)s” doesn’t exist. Perhaps it was deleted?"),
    _("Cannot delete %(name)s"),
    _("Add another %(verbose_name)s"),
    _("Add another %(model)s"),
    _(
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? All of the '
        "following related items will be deleted:"
    ),
    _(
        "Are you sure you want to delete the selected %(objects_name)s? All of the following "
        "objects and their related items will be deleted:"
    ),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would result in deleting related "
        "objects, but your account doesn't have permission to delete the following types of "
        "objects:"
    ),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would require deleting the following "
        "protected related objects:"
    ),
    _(
        "Deleting the selected %(objects_name)s would result in deleting related objects, but your "
        "account doesn't have permission to delete the following types of objects:"
    ),
    _(
        "Deleting the selected %(objects_name)s would require deleting the following protected "
        "related objects:"
    ),
    _("Yes, I’m sure"),
    _("No, take me back"),
    _("Save and add another"),
    _("Save and continue editing"),
)

IN_F_STRINGS = (_("Welcome"),)  # of unfold; xgettext before 0.22 does not look into f-strings
